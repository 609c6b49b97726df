// Has Kong's own converter make a gateway configuration of the document, and says how many
// routes that has: kong-routes.mjs DOCUMENT
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// Installed where the script is called, not beside it.
const require = createRequire(process.cwd() + "/");
const { generate } = require("openapi-2-kong");

const path = process.argv[2];
const { documents: [configuration] } = await generate(path, "kong-declarative-config", []);
const routes = configuration.services.flatMap((service) => service.routes);
const operations = Object.values(JSON.parse(readFileSync(path)).paths).flatMap(Object.keys);
if (routes.length !== operations.length) {
  console.error(`${routes.length} routes of ${operations.length} operations`);
  process.exit(1);
}
console.log(routes.length);
