//! The pages for people who write clients: Swagger UI, ReDoc and the document itself.
//!
//! Everything is part of the binary, since a range can be sealed off from the internet.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use utoipa_swagger_ui::Config;

use super::{answers, openapi};

/// ReDoc, as published on the npm registry in the package `redoc`; see assets/README.md.
static REDOC: &str = include_str!("../../assets/redoc.standalone.js");

static DOCUMENT: LazyLock<String> = LazyLock::new(|| openapi::DOCUMENT.to_string());

const REDOC_PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>CR42 - API - ReDoc</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body { margin: 0 }</style>
</head>
<body>
<redoc spec-url="/docs/openapi.json"></redoc>
<script src="/docs/redoc.standalone.js"></script>
</body>
</html>
"#;

/// The routes below `/docs`.
pub fn routes() -> Router {
    Router::new()
        .route("/docs/openapi.json", get(document))
        .route("/docs/redoc", get(|| async { Html(REDOC_PAGE) }))
        .route("/docs/redoc.standalone.js", get(redoc))
        .route("/docs/swagger", get(swagger_page))
        .route("/docs/swagger/", get(swagger_page))
        .route("/docs/swagger/{*file}", get(|Path(file): Path<String>| swagger_file(file)))
}

/// The page names its files relative to `/docs/swagger/`; clients ask for it without the slash.
async fn swagger_page() -> Response {
    static PAGE: LazyLock<String> = LazyLock::new(|| {
        let file = utoipa_swagger_ui::serve("index.html", swagger_config()).ok().flatten();
        let page = file.expect("Swagger UI has an index.html").bytes.into_owned();
        String::from_utf8_lossy(&page).replacen("<head>", "<head><base href=\"/docs/swagger/\">", 1)
    });
    Html(PAGE.as_str()).into_response()
}

async fn swagger_file(name: String) -> Response {
    match utoipa_swagger_ui::serve(&name, swagger_config()) {
        Ok(Some(file)) => {
            ([(header::CONTENT_TYPE, file.content_type)], file.bytes.into_owned()).into_response()
        }
        _ => answers::no_such_path(),
    }
}

fn swagger_config() -> Arc<Config<'static>> {
    static CONFIG: LazyLock<Arc<Config<'static>>> =
        LazyLock::new(|| Arc::new(Config::from("/docs/openapi.json")));
    CONFIG.clone()
}

async fn document(headers: HeaderMap) -> Response {
    unless_known(&headers, "application/json", &DOCUMENT)
}

async fn redoc(headers: HeaderMap) -> Response {
    unless_known(&headers, "text/javascript; charset=utf-8", REDOC)
}

/// Answers `body`, or 304 where the client has it already. It changes with the binary only,
/// so the version and the length tell it apart (RFC 9110, 8.8.3).
fn unless_known(headers: &HeaderMap, content_type: &'static str, body: &'static str) -> Response {
    let tag = format!("\"{}-{}\"", env!("CARGO_PKG_VERSION"), body.len());
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|v| v.as_bytes() == tag.as_bytes());
    let tag = [(header::ETAG, HeaderValue::from_str(&tag).expect("ASCII"))];
    if known {
        return (StatusCode::NOT_MODIFIED, tag).into_response();
    }
    (tag, [(header::CONTENT_TYPE, content_type)], body).into_response()
}
