//! Trusted proxies and the gateway's secret, cross-origin requests, and the access log.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::support::internals::Settings;
use crate::support::process::ServerProcess;
use crate::support::server::Answer;
use crate::support::stub::{StubServer, write};
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use rustix::process::Signal;
use serde_json::{Value, json};

const SECRET: &str = "0123456789abcdefghij";
const LIST: &str = "/v0/admin/proxmox/vms/list";
/// An operation without a body, which needs no content type.
const FUNC_TEST: &str = "/v0/admin/debug/func_test";

fn server(settings: &[(&str, &str)]) -> StubServer {
    StubServer::start(|_: &Path, env: &mut HashMap<String, String>| {
        env.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    })
}

async fn ask(server: &StubServer, peer: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let method = if path == LIST { "POST" } else { "GET" };
    send(server, (method, path), peer, headers).await
}

async fn post(server: &StubServer, peer: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(server, ("POST", path), peer, headers).await
}

async fn send(
    server: &StubServer,
    (method, path): (&str, &str),
    peer: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = json!({ "proxmox_node": "px-testing" }).to_string();
    let mut request = request.body(Body::from(body)).unwrap();
    let peer: SocketAddr = format!("{peer}:4711").parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(peer));
    server.client.send(request).await
}

fn request_id(answer: &Answer) -> &str {
    answer.headers["x-request-id"].to_str().unwrap()
}

/// The consumer that the history records for a run.
async fn consumer_of(server: &StubServer, run: &Answer) -> serde_json::Value {
    let id = run.headers["x-run-id"].to_str().unwrap();
    server.client.get(&format!("/v0/admin/runs/{id}")).await.json()["consumer"].clone()
}

#[tokio::test]
async fn only_trusted_proxies_may_set_request_id_and_consumer() {
    let server = server(&[("TRUSTED_PROXIES", "10.1.0.0/16, fd00::/8 192.0.2.7")]);
    let headers = [("x-request-id", "from-the-gateway-1"), ("x-consumer-username", "alice")];
    for trusted in ["10.1.2.3", "[fd00::1]", "192.0.2.7", "[::ffff:10.1.2.3]"] {
        let answer = ask(&server, trusted, LIST, &headers).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(request_id(&answer), "from-the-gateway-1", "{trusted}");
        assert_eq!(consumer_of(&server, &answer).await, json!("alice"), "{trusted}");
    }
    for other in ["10.2.0.1", "[fe80::1]", "192.0.2.8", "127.0.0.1"] {
        let answer = ask(&server, other, LIST, &headers).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_ne!(request_id(&answer), "from-the-gateway-1", "{other}");
        assert_eq!(consumer_of(&server, &answer).await, json!(null), "{other}");
    }
}

#[tokio::test]
async fn no_proxy_is_trusted_by_default() {
    let server = server(&[]);
    let headers = [("x-request-id", "mine"), ("x-consumer-username", "root")];
    let answer = ask(&server, "127.0.0.1", LIST, &headers).await;
    assert_ne!(request_id(&answer), "mine");
    assert_eq!(consumer_of(&server, &answer).await, json!(null));
}

#[tokio::test]
async fn an_unsafe_request_id_is_replaced() {
    let server = server(&[("TRUSTED_PROXIES", "127.0.0.1")]);
    let long = "a".repeat(65);
    for id in ["", "a b", "a\"b", "{}", long.as_str()] {
        let answer = ask(&server, "127.0.0.1", "/docs/openapi.json", &[("x-request-id", id)]).await;
        assert_eq!(request_id(&answer).len(), 36, "{id}");
    }
    let id = "8d1f7a9e-0000-4000-8000-000000000000#12";
    let answer = ask(&server, "127.0.0.1", "/docs/openapi.json", &[("x-request-id", id)]).await;
    assert_eq!(request_id(&answer), id);
}

#[tokio::test]
async fn requests_without_the_gateway_secret_are_rejected() {
    let server = server(&[("RANGE42_GATEWAY_SECRET", SECRET)]);
    let cut = &SECRET[1..];
    for wrong in [&[][..], &[("x-range42-gateway", cut)], &[("x-range42-gateway", "")]] {
        for path in [LIST, "/docs/openapi.json", "/v0/admin/runs", "/ws/vm-status", "/nowhere"] {
            let answer = ask(&server, "127.0.0.1", path, wrong).await;
            assert_eq!(answer.status, 403, "{path}");
            assert!(
                answer.json()["detail"].is_string() && answer.headers.contains_key("x-request-id")
            );
        }
        for path in ["/healthz", "/metrics"] {
            assert_eq!(ask(&server, "127.0.0.1", path, wrong).await.status, 200, "{path}");
        }
    }
    assert!(server.calls().is_empty(), "a rejected request started a run");
    let answer = ask(&server, "127.0.0.1", LIST, &[("x-range42-gateway", SECRET)]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// Browsers send these requests for any page, without a preflight.
#[tokio::test]
async fn other_origins_cannot_start_runs_without_preflight() {
    let server = server(&[]);
    for origin in ["https://evil.test", "null", "http://localhost.evil.test"] {
        let form = "application/x-www-form-urlencoded";
        let text = "text/plain; x=application/json";
        for kind in [None, Some(form), Some(text), Some("")] {
            let kind = kind.map(|kind| ("content-type", kind));
            let headers: Vec<_> = kind.into_iter().chain([("origin", origin)]).collect();
            for path in [LIST, FUNC_TEST] {
                let answer = post(&server, "127.0.0.1", path, &headers).await;
                assert_eq!(answer.status, 422, "{path} {headers:?}");
                let error = &answer.json()["detail"][0];
                assert_eq!(error["loc"], json!(["header", "content-type"]), "{error}");
                assert!(!answer.headers.contains_key("access-control-allow-origin"));
            }
        }
        let page = ask(&server, "127.0.0.1", "/docs/openapi.json", &[("origin", origin)]).await;
        assert_eq!(page.status, 200);
    }
    assert!(server.calls().is_empty(), "a rejected request started a run");
}

#[tokio::test]
async fn same_origin_pages_need_no_permission() {
    let server = server(&[("TRUSTED_PROXIES", "10.0.0.1")]);
    let told = ("x-forwarded-host", "api.example");
    for (peer, headers, status) in [
        ("10.9.9.9", vec![("origin", "http://10.0.0.5:8000"), ("host", "10.0.0.5:8000")], 200),
        ("10.9.9.9", vec![("origin", "https://[fd00::1]"), ("host", "[fd00::1]")], 200),
        ("10.9.9.9", vec![("origin", "http://10.0.0.5:8001"), ("host", "10.0.0.5:8000")], 422),
        ("10.0.0.1", vec![("origin", "https://api.example:8443"), told, ("host", "api:8000")], 200),
        ("10.0.0.1", vec![("origin", "https://api.example.evil.test"), told], 422),
        (
            "10.0.0.1",
            vec![("origin", "http://api.example"), told, ("x-forwarded-proto", "https")],
            422,
        ),
        ("10.9.9.9", vec![("origin", "https://api.example"), told, ("host", "api:8000")], 422),
        // Allowed by the rule, regardless of the host.
        ("10.9.9.9", vec![("origin", "http://localhost:3000"), ("host", "10.0.0.5:8000")], 200),
    ] {
        let answer = post(&server, peer, LIST, &headers).await;
        assert_eq!(answer.status, status, "{peer} {headers:?} {}", answer.text);
    }
}

#[test]
fn ambiguous_trust_settings_are_rejected() {
    let settings_error = |name: &str, value: &str| {
        let env = HashMap::from([(name.to_owned(), value.to_owned())]);
        let error = Settings::from_map(&env).map(|_| ()).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with(name), "{error}");
        error
    };
    for networks in ["kong", "10.0.0.0/33", "10.0.0.1/", "10.0.0.0/8,*"] {
        settings_error("TRUSTED_PROXIES", networks);
    }
    for secret in ["short", "nineteen characters", "with a blank in the middle"] {
        assert!(!settings_error("RANGE42_GATEWAY_SECRET", secret).contains(secret));
    }
}

/// The access log in JSON, the format in containers.
#[tokio::test]
async fn each_request_leaves_one_complete_log_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let here = |name: &str| format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
    write(&dir.path().join("inventory/hosts.yml"), "all: {}\n");
    let behaviour = json!({ "events": [], "lookup_events": [], "rc": 0, "lookup_rc": 0 });
    write(&dir.path().join("runs/stub.json"), &behaviour.to_string());
    let settings = [
        ("PROJECT_ROOT_DIR", here("")),
        ("API_BACKEND_INVENTORY_DIR", path("inventory")),
        ("RANGE42_DATA_DIR", path("data")),
        ("RANGE42_RUNS_DIR", path("runs")),
        ("RANGE42_RUNNER", here("tests/api/support/stub-runner")),
        ("RANGE42_GATEWAY_SECRET", SECRET.to_owned()),
        ("TRUSTED_PROXIES", "127.0.0.0/8".to_owned()),
    ];
    let mut env: HashMap<String, String> =
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let mut server = ServerProcess::start(&env);
    let body = json!({ "proxmox_node": "px-testing" });
    let answer = server
        .request("POST", LIST, &body)
        .header("x-range42-gateway", SECRET)
        .header("x-request-id", "req-1")
        .header("x-consumer-username", "alice")
        .header("x-forwarded-for", "203.0.113.9, 198.51.100.4")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let run_id = answer.headers()["x-run-id"].to_str().unwrap().to_owned();

    // The container's health check needs no secret and is not logged at level info.
    let port = server.url.rsplit(':').next().unwrap().to_owned();
    env.extend([("HOST".to_owned(), "127.0.0.1".to_owned()), ("PORT".to_owned(), port)]);
    let healthcheck = |env: &HashMap<String, String>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_range42-backend-api"));
        command.arg("healthcheck").envs(env).status().unwrap().success()
    };
    assert!(healthcheck(&env));
    env.remove("RANGE42_GATEWAY_SECRET");
    assert!(healthcheck(&env));
    // Rejected before routing.
    assert_eq!(server.request("GET", "/docs", &body).send().await.unwrap().status(), 403);

    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
    let log = server.log();
    assert!(!log.contains(SECRET), "{log}");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let completed: Vec<&Value> =
        lines.iter().filter(|l| l["message"] == "request completed").collect();
    let summary: Vec<_> = completed.iter().map(|l| (l["route"].as_str(), &l["status"])).collect();
    let refused = (Some("\"/docs\""), &json!(403));
    assert_eq!(summary, [(Some(LIST), &json!(200)), refused], "{log}");
    let line = completed[0];
    assert!(line["duration_ms"].is_u64() && line["timestamp"].is_string(), "{line}");
    for (name, value) in [
        ("route", LIST),
        ("method", "POST"),
        ("level", "INFO"),
        ("request_id", "req-1"),
        ("consumer", "alice"),
        ("client", "198.51.100.4"),
        ("run_id", &run_id),
    ] {
        assert_eq!(line[name], value, "{line}");
    }
    let about_the_run = lines.iter().filter(|l| l["spans"].to_string().contains(&run_id));
    assert!(about_the_run.count() >= 2, "{log}");
}
