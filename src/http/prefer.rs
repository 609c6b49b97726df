//! The `Prefer` header: whether a client waits for its run to end (RFC 7240).

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The request header.
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The response header that lists the honored preferences.
pub const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// A client's preferences.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Preference {
    respond_async: bool,
    wait: Option<u32>,
}

impl Preference {
    /// Parses the preferences. Unknown and malformed ones are ignored, and the first of duplicates
    /// is used, as RFC 7240 (section 2) requires.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let mut preference = Self::default();
        let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        for item in values.flat_map(|value| value.split(',')) {
            // Parameters of a preference follow a semicolon.
            let item = item.split(';').next().unwrap_or_default();
            let (name, value) = item.split_once('=').unwrap_or((item, ""));
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "respond-async" => preference.respond_async = true,
                "wait" if preference.wait.is_none() => preference.wait = value.parse().ok(),
                _ => {}
            }
        }
        preference
    }

    /// How long to wait for the run before responding with 202. `None` means until it ends.
    pub fn max_wait(&self) -> Option<Duration> {
        match (self.respond_async, self.wait) {
            (_, Some(seconds)) => Some(Duration::from_secs(seconds.into())),
            (true, None) => Some(Duration::ZERO),
            (false, None) => None,
        }
    }

    /// Returns the value of `Preference-Applied`. If the run ended `in_time`, only `wait` was
    /// honored.
    pub fn applied(&self, in_time: bool) -> Option<HeaderValue> {
        let wait = self.wait.map(|seconds| format!("wait={seconds}"));
        let respond_async = (self.respond_async && !in_time).then(|| "respond-async".to_owned());
        let applied: Vec<String> = respond_async.into_iter().chain(wait).collect();
        if applied.is_empty() { None } else { HeaderValue::from_str(&applied.join(", ")).ok() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preference(values: &[&str]) -> Preference {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(PREFER, HeaderValue::from_str(value).unwrap());
        }
        Preference::from_headers(&headers)
    }

    #[test]
    fn parses_the_syntax_of_the_rfc() {
        for (values, respond_async, wait) in [
            (&[][..], false, None),
            (&["respond-async"], true, None),
            (&["return=minimal, Respond-Async ; foo=bar", "wait=10"], true, Some(10)),
            (&["wait=\"5\", wait=7"], false, Some(5)),
            (&["wait=soon"], false, None),
            (&["wait=-1"], false, None),
        ] {
            assert_eq!(preference(values), Preference { respond_async, wait }, "{values:?}");
        }
    }

    #[test]
    fn reports_the_honored_preferences() {
        let both = preference(&["respond-async, wait=2"]);
        assert_eq!(both.max_wait(), Some(Duration::from_secs(2)));
        assert_eq!(both.applied(false).unwrap(), "respond-async, wait=2");
        assert_eq!(both.applied(true).unwrap(), "wait=2");
        assert_eq!(preference(&[]).applied(false), None);
    }
}
