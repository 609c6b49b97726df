//! The OpenAPI document is current and complete, and its pages work in a browser without internet.

use std::collections::HashMap;
use std::process::{Command, Stdio};

use crate::support::installed;
use crate::support::internals;
use crate::support::server::Client;
use axum::http::Request;
use serde_json::Value;
use tempfile::TempDir;

fn client(dir: &TempDir) -> Client {
    let path = dir.path().display().to_string();
    Client::new(&HashMap::from([("PROJECT_ROOT_DIR".to_owned(), path)]))
}

#[test]
fn the_committed_document_is_current() {
    let committed = std::fs::read_to_string("openapi.json").unwrap();
    let current = internals::openapi_text();
    assert!(committed == current, "write it: cargo run -- openapi > openapi.json");
}

#[tokio::test]
async fn the_document_is_cached_by_clients() {
    let dir = tempfile::tempdir().unwrap();
    let client = client(&dir);
    let answer = client.get("/docs/openapi.json").await;
    assert_eq!(answer.json()["info"]["title"], "CR42 - API");
    assert_eq!(answer.json()["info"]["version"], "v0.1");
    let again = Request::get("/docs/openapi.json").header("if-none-match", &answer.headers["etag"]);
    assert_eq!(client.send(again.body(Default::default()).unwrap()).await.status, 304);
}

#[tokio::test]
async fn every_operation_is_fully_described() {
    let dir = tempfile::tempdir().unwrap();
    let document = client(&dir).get("/docs/openapi.json").await.json();
    let mut ids = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let place = format!("{method} {path}");
            assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{place}");
            assert!(operation["summary"].as_str().is_some_and(|s| !s.is_empty()), "{place}");
            if let Some(body) = operation.get("requestBody") {
                let name = body["content"]["application/json"]["schema"]["$ref"].as_str().unwrap();
                let schema = document.pointer(&name[1..]).unwrap();
                assert!(schema.get("example").is_some(), "{place}: no example");
            }
            ids.push(operation["operationId"].as_str().unwrap().to_owned());
        }
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "operation ids repeat");
}

/// Swagger UI would send the example or default of a header with every request.
#[tokio::test]
async fn header_parameters_have_no_example() {
    let dir = tempfile::tempdir().unwrap();
    let document = client(&dir).get("/docs/openapi.json").await.json();
    let operations = document["paths"].as_object().unwrap().values();
    let parameters = operations
        .flat_map(|item| item.as_object().unwrap().values())
        .flat_map(|operation| operation["parameters"].as_array().into_iter().flatten());
    let mut preferences = 0;
    for header in parameters.filter(|parameter| parameter["in"] == "header") {
        preferences += usize::from(header["name"] == "Prefer");
        for filled_in in ["example", "examples", "default"] {
            assert!(header.get(filled_in).is_none(), "{header}");
            assert!(header["schema"].get(filled_in).is_none(), "{header}");
        }
    }
    assert_eq!(preferences, internals::operations().len());
}

/// Clients rely on these routes, so a change must show up in the committed list.
#[test]
fn the_routes_match_the_recorded_list() {
    let lines: Vec<String> = internals::operations()
        .iter()
        .map(|operation| format!("{:6} {}", operation.method, operation.path))
        .collect();
    let golden = std::fs::read_to_string("tests/routes.txt").unwrap();
    assert_eq!(lines.join("\n") + "\n", golden);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_pages_work_in_a_browser_without_internet() {
    let browser = installed(&[&["chromium"], &["chromium-browser"], &["google-chrome"]]);
    let dir = tempfile::tempdir().unwrap();
    let base_url = client(&dir).serve().await;
    for page in ["swagger", "redoc"] {
        let url = format!("{base_url}/docs/{page}");
        let html = tokio::task::spawn_blocking(move || rendered(browser[0], &url));
        let html = html.await.unwrap();
        for text in ["CR42 - API", "List the guests of a node", "Run a scenario by its name"] {
            assert!(html.contains(text), "{page} does not show {text:?}");
        }
        assert!(!html.contains("Failed to load"), "{page}");
    }
}

/// Returns the page as rendered by a browser after its scripts have run. The browser cannot resolve
/// any other host.
fn rendered(browser: &str, url: &str) -> String {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-quic"])
        .arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--virtual-time-budget=20000", "--dump-dom", url])
        .stderr(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn unknown_paths_and_methods_get_json_errors() {
    let dir = tempfile::tempdir().unwrap();
    let client = client(&dir);
    let unknown = client.get("/nowhere").await;
    assert_eq!(
        (unknown.status.as_u16(), &unknown.json()["detail"]),
        (404, &Value::from("Not Found"))
    );
    let method = client.get("/v0/admin/proxmox/vms/list").await;
    assert_eq!(method.status, 405);
    assert_eq!(method.headers["allow"], "POST");
    assert_eq!(method.json()["detail"], "Method Not Allowed");
    let slash = client.get("/docs/redoc/").await;
    assert_eq!(
        (slash.status.as_u16(), &slash.headers["location"].to_str().unwrap()),
        (307, &"/docs/redoc")
    );
}

#[test]
fn the_readme_lists_every_setting() {
    let sources = ["src/config/mod.rs", "src/config/limits.rs", "src/config/gateway.rs"]
        .map(std::fs::read_to_string);
    let readme = std::fs::read_to_string("README.md").unwrap();
    let name = regex::Regex::new(r#""((?:[A-Z][A-Z0-9]*_)+[A-Z0-9]+|HOST|PORT|DEBUG)""#).unwrap();
    let names: Vec<String> = sources
        .iter()
        .flat_map(|text| name.captures_iter(text.as_ref().unwrap()))
        .map(|found| found[1].to_owned())
        .collect();
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        assert!(readme.contains(&format!("| `{name}` |")), "README has no row for {name}");
    }
}
