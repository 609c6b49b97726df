//! The API documentation: Swagger UI, ReDoc and the OpenAPI document.
//!
//! All files are embedded in the binary, since a range may have no internet access.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use headers::{ETag, HeaderMapExt, IfNoneMatch};
use utoipa_swagger_ui::Config;

use crate::http::fallbacks;

/// A static file, compressed and tagged by `build.rs`.
struct StaticFile {
    content_type: &'static str,
    plain: &'static [u8],
    gzip: &'static [u8],
    tag: &'static str,
}

macro_rules! static_file {
    ($content_type:literal, $name:literal) => {
        StaticFile {
            content_type: $content_type,
            plain: include_bytes!(concat!(env!("OUT_DIR"), "/", $name)),
            gzip: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".gz")),
            tag: include_str!(concat!(env!("OUT_DIR"), "/", $name, ".tag")),
        }
    };
}

/// The committed OpenAPI document; a test compares it with the operations.
static DOCUMENT: StaticFile = static_file!("application/json", "openapi.json");

/// ReDoc, from the npm package `redoc`; see assets/README.md.
static REDOC: StaticFile = static_file!("text/javascript; charset=utf-8", "redoc.standalone.js");

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

const DOCUMENT_PATH: &str = "/docs/openapi.json";

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

/// Serves Swagger UI. Its page refers to files relative to `/docs/swagger/`, but is requested
/// without the trailing slash.
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
    DOCUMENT.respond(&headers)
}

async fn redoc(headers: HeaderMap) -> Response {
    REDOC.respond(&headers)
}

impl StaticFile {
    /// Responds with the content, compressed if the client prefers that, or with 304 if the
    /// client has the current version (RFC 9110, 8.8.3 and 13.1.2).
    fn respond(&self, headers: &HeaderMap) -> Response {
        let common = [(header::ETAG, self.tag), (header::VARY, "Accept-Encoding")];
        let tag: ETag = self.tag.parse().expect("build.rs writes entity tags");
        let known = headers.typed_get::<IfNoneMatch>();
        if known.is_some_and(|known| !known.precondition_passes(&tag)) {
            return (StatusCode::NOT_MODIFIED, common).into_response();
        }
        let content_type = [(header::CONTENT_TYPE, self.content_type)];
        if prefers_gzip(headers) {
            let encoding = [(header::CONTENT_ENCODING, "gzip")];
            return (common, content_type, encoding, self.gzip).into_response();
        }
        (common, content_type, self.plain).into_response()
    }
}

/// Whether the client accepts gzip with a weight above 0 that is not below the weight of
/// `identity` (RFC 9110, 12.5.3).
fn prefers_gzip(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok());
    let (mut gzip, mut identity) = (0.0, 0.0);
    for part in lines.flat_map(|line| line.split(',')) {
        let (coding, parameter) = part.split_once(';').unwrap_or((part, "q=1"));
        let weight = parameter.trim().to_ascii_lowercase();
        let weight = weight.strip_prefix("q=").and_then(|q| q.parse().ok()).unwrap_or(0.0);
        match coding.trim() {
            coding if coding.eq_ignore_ascii_case("gzip") => gzip = weight,
            coding if coding.eq_ignore_ascii_case("identity") => identity = weight,
            _ => {}
        }
    }
    gzip > 0.0 && gzip >= identity
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[(header::HeaderName, &'static str)]) -> Response {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value.parse().unwrap());
        }
        DOCUMENT.respond(&map)
    }

    #[test]
    fn a_matching_entity_tag_gets_not_modified() {
        let tag = DOCUMENT.tag;
        for known in [tag, &format!("\"x\", {tag}"), &format!("W/{tag}"), "*"] {
            let known = String::leak(known.to_owned());
            let status = answer(&[(header::IF_NONE_MATCH, known)]).status();
            assert_eq!(status, StatusCode::NOT_MODIFIED, "{known}");
        }
        let lines = [(header::IF_NONE_MATCH, "\"x\""), (header::IF_NONE_MATCH, tag)];
        assert_eq!(
            answer(&lines).status(),
            StatusCode::NOT_MODIFIED,
            "two header lines form one list"
        );
        for other in ["\"x\"", "", "x"] {
            let status = answer(&[(header::IF_NONE_MATCH, other)]).status();
            assert_eq!(status, StatusCode::OK, "{other}");
        }
    }

    #[test]
    fn the_document_is_compressed_if_gzip_is_preferred() {
        let compressed = |accepted: &'static str| {
            let answer = answer(&[(header::ACCEPT_ENCODING, accepted)]);
            answer.headers().get(header::CONTENT_ENCODING).is_some_and(|coding| coding == "gzip")
        };
        for accepted in ["gzip", "br, GZIP ;q=0.5", "gzip; Q=0.001, *;q=0", "identity, gzip"] {
            assert!(compressed(accepted), "{accepted}");
        }
        for accepted in [
            "",
            "br",
            "*",
            "gzip;q=0",
            "gzip ; q=0.000, br",
            "gzip;q=0.5, identity",
            "gzip;q=x",
            "gzippy",
        ] {
            assert!(!compressed(accepted), "{accepted}");
        }
        let lines = [(header::ACCEPT_ENCODING, "br"), (header::ACCEPT_ENCODING, "gzip")];
        assert!(answer(&lines).headers().contains_key(header::CONTENT_ENCODING));
    }
}
