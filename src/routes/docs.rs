//! The pages for people who write clients: Swagger UI, ReDoc and the document itself.
//!
//! Everything is part of the binary, since a range can be sealed off from the internet.

use std::hash::{DefaultHasher, Hasher};
use std::io::Write;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use utoipa_swagger_ui::Config;

use super::{answers, openapi};

/// ReDoc, as published on the npm registry in the package `redoc`; see assets/README.md.
static REDOC: LazyLock<Rendered> = LazyLock::new(|| {
    let script = include_str!("../../assets/redoc.standalone.js");
    Rendered::new("text/javascript; charset=utf-8", Bytes::from_static(script.as_bytes()))
});

static DOCUMENT: LazyLock<Rendered> =
    LazyLock::new(|| Rendered::new("application/json", openapi::DOCUMENT.to_string().into()));

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
        _ => answers::no_such_path(),
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

/// Something large that stays the same while the server runs: rendered, compressed and named
/// once.
struct Rendered {
    content_type: HeaderValue,
    tag: HeaderValue,
    plain: Bytes,
    gzip: Bytes,
}

impl Rendered {
    fn new(content_type: &'static str, plain: Bytes) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let gzip = encoder.write_all(&plain).and_then(|()| encoder.finish());
        let mut hasher = DefaultHasher::new();
        hasher.write(&plain);
        let tag = format!("\"{:016x}\"", hasher.finish());
        Self {
            content_type: HeaderValue::from_static(content_type),
            tag: HeaderValue::from_str(&tag).expect("ASCII"),
            plain,
            gzip: gzip.expect("writing to memory does not fail").into(),
        }
    }

    /// The content, compressed where the client says that it can read that, or 304 where it
    /// has it already (RFC 9110, 8.8.3 and 12.5.3).
    fn answer(&self, headers: &HeaderMap) -> Response {
        let vary = HeaderValue::from_static("Accept-Encoding");
        let common = [(header::ETAG, self.tag.clone()), (header::VARY, vary)];
        if headers.get(header::IF_NONE_MATCH) == Some(&self.tag) {
            return (StatusCode::NOT_MODIFIED, common).into_response();
        }
        let content_type = [(header::CONTENT_TYPE, self.content_type.clone())];
        let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|v| v.to_str().ok());
        if accepted.is_some_and(|accepted| accepted.contains("gzip")) {
            let encoding = [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
            return (common, content_type, encoding, self.gzip.clone()).into_response();
        }
        (common, content_type, self.plain.clone()).into_response()
    }
}
