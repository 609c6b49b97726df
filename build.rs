//! Lays out the code of the program, and prepares what the server hands out as it is: the document
//! and ReDoc, each compressed once, here, rather than by every server at its start.

use std::hash::{DefaultHasher, Hasher};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

fn main() {
    lay_out_code();
    prepare("openapi.json", |text| {
        // The shell has emptied the file when `cargo run -- openapi > openapi.json` builds.
        let document = if text.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(text) };
        document.expect("openapi.json is JSON").to_string().into_bytes()
    });
    prepare("assets/redoc.standalone.js", <[u8]>::to_vec);
}

/// Tells the linker where the code of the program goes, and has it write down the addresses to
/// relocate in the form that takes a hundredth of the room. The C library knows that form since
/// its version 2.36.
fn lay_out_code() {
    let layout = "cold-text.ld";
    println!("cargo::rerun-if-changed={layout}");
    let folder = env::var("CARGO_MANIFEST_DIR").expect("Cargo sets it");
    println!("cargo::rustc-link-arg-bins=-T{folder}/{layout}");
    let version = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let minor = version.ok().and_then(|text| text.trim().strip_prefix("glibc 2.")?.parse().ok());
    if minor.is_some_and(|minor: u32| minor >= 36) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Writes a file, its compressed form and a tag that names its content to the output folder.
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
