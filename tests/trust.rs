//! Whom the server believes, and what its log says of a request.

mod support;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use serde_json::json;
use support::server::Answer;
use support::stub::StubServer;

const SECRET: &str = "0123456789abcdefghij";
const LIST: &str = "/v0/admin/proxmox/vms/list";

fn server(settings: &[(&str, &str)]) -> StubServer {
    StubServer::start(|_: &Path, env: &mut HashMap<String, String>| {
        env.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    })
}

async fn ask(server: &StubServer, peer: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let method = if path == LIST { "POST" } else { "GET" };
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

/// Who asked for the run, as the history says.
async fn consumer_of(server: &StubServer, run: &Answer) -> serde_json::Value {
    let id = run.headers["x-run-id"].to_str().unwrap();
    server.client.get(&format!("/v0/admin/runs/{id}")).await.json()["consumer"].clone()
}

#[tokio::test]
async fn only_trusted_proxies_name_the_request_and_the_consumer() {
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
async fn nobody_is_believed_by_default() {
    let server = server(&[]);
    let headers = [("x-request-id", "mine"), ("x-consumer-username", "root")];
    let answer = ask(&server, "127.0.0.1", LIST, &headers).await;
    assert_ne!(request_id(&answer), "mine");
    assert_eq!(consumer_of(&server, &answer).await, json!(null));
}

#[tokio::test]
async fn an_id_that_cannot_stand_in_a_log_is_not_taken_over() {
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
async fn with_a_secret_everything_goes_through_the_gateway() {
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
    assert!(server.calls().is_empty(), "a refused request started a run");
    let answer = ask(&server, "127.0.0.1", LIST, &[("x-range42-gateway", SECRET)]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[test]
fn settings_that_would_trust_by_mistake_are_refused() {
    let refused = |name: &str, value: &str| {
        let env = HashMap::from([(name.to_owned(), value.to_owned())]);
        let error = range42_backend_api::Settings::from_map(&env).map(|_| ()).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with(name), "{error}");
        error
    };
    for networks in ["kong", "10.0.0.0/33", "10.0.0.1/", "10.0.0.0/8,*"] {
        refused("TRUSTED_PROXIES", networks);
    }
    for secret in ["short", "nineteen characters", "with a blank in the middle"] {
        assert!(!refused("RANGE42_GATEWAY_SECRET", secret).contains(secret));
    }
}
