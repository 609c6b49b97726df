//! Compresses the static files that the server embeds, the OpenAPI document and ReDoc, at build time,
//! so that no server has to do it at startup.

use std::hash::{DefaultHasher, Hasher};
use std::io::Write;
use std::path::Path;
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

fn main() {
    prepare("openapi.json", |text| {
        // With `cargo run -- openapi > openapi.json`, the shell truncates the file before the build.
        let document = if text.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(text) };
        document.expect("openapi.json is JSON").to_string().into_bytes()
    });
    prepare("assets/redoc.standalone.js", <[u8]>::to_vec);
}

/// Writes a file, its compressed form and an entity tag of its content to the output folder.
fn prepare(path: &str, change: fn(&[u8]) -> Vec<u8>) {
    println!("cargo::rerun-if-changed={path}");
    let folder = env::var("OUT_DIR").expect("Cargo sets it");
    let name = Path::new(path).file_name().and_then(|name| name.to_str()).expect("a file");
    let write = |suffix: &str, content: &[u8]| {
        fs::write(format!("{folder}/{name}{suffix}"), content).expect("the output folder is ours");
    };
    let plain = change(&fs::read(path).expect(path));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let gzip = encoder.write_all(&plain).and_then(|()| encoder.finish());
    let mut hasher = DefaultHasher::new();
    hasher.write(&plain);
    write("", &plain);
    write(".gz", &gzip.expect("writing to memory does not fail"));
    write(".tag", format!("\"{:016x}\"", hasher.finish()).as_bytes());
}
