//! The pages for people who write clients: Swagger UI, ReDoc and the document itself.
//!
//! Everything is part of the binary, since a range can be sealed off from the internet.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use utoipa_swagger_ui::Config;

use crate::http::fallbacks;

/// A file that stays the same while the server runs, as `build.rs` has prepared it.
struct Prepared {
    content_type: &'static str,
    plain: &'static [u8],
    gzip: &'static [u8],
    tag: &'static str,
}

macro_rules! prepared {
    ($content_type:literal, $name:literal) => {
        Prepared {
            content_type: $content_type,
            plain: include_bytes!(concat!(env!("OUT_DIR"), "/", $name)),
            gzip: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".gz")),
            tag: include_str!(concat!(env!("OUT_DIR"), "/", $name, ".tag")),
        }
    };
}

/// The document as it is committed, which a test compares with the table.
static DOCUMENT: Prepared = prepared!("application/json", "openapi.json");

/// ReDoc, as published on the npm registry in the package `redoc`; see assets/README.md.
static REDOC: Prepared = prepared!("text/javascript; charset=utf-8", "redoc.standalone.js");

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

/// Where the document is, which the container's health check asks for.
pub const DOCUMENT_PATH: &str = "/docs/openapi.json";

/// The routes below `/docs`.
pub fn routes() -> Router {
    Router::new()
        .route(DOCUMENT_PATH, get(document))
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
        _ => fallbacks::no_such_path(),
    }
}

fn swagger_config() -> Arc<Config<'static>> {
    static CONFIG: LazyLock<Arc<Config<'static>>> =
        LazyLock::new(|| Arc::new(Config::from("/docs/openapi.json")));
    CONFIG.clone()
}

async fn document(headers: HeaderMap) -> Response {
    DOCUMENT.answer(&headers)
}

async fn redoc(headers: HeaderMap) -> Response {
    REDOC.answer(&headers)
}

impl Prepared {
    /// The content, compressed where the client says that it can read that, or 304 where it
    /// has it already (RFC 9110, 8.8.3 and 12.5.3).
    fn answer(&self, headers: &HeaderMap) -> Response {
        let common = [(header::ETAG, self.tag), (header::VARY, "Accept-Encoding")];
        if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == self.tag) {
            return (StatusCode::NOT_MODIFIED, common).into_response();
        }
        let content_type = [(header::CONTENT_TYPE, self.content_type)];
        let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|v| v.to_str().ok());
        if accepted.is_some_and(|accepted| accepted.contains("gzip")) {
            let encoding = [(header::CONTENT_ENCODING, "gzip")];
            return (common, content_type, encoding, self.gzip).into_response();
        }
        (common, content_type, self.plain).into_response()
    }
}
