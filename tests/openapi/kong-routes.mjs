// Generates a gateway configuration from the document with Kong's own converter, and prints the
// number of its routes: kong-routes.mjs DOCUMENT
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// The package is installed in the working directory, not next to this script.
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
