//! The `Prefer` header: whether a client waits for its run (RFC 7240).

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The header of the request.
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The header of the answer that names what was honoured.
pub const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// What a client prefers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Preference {
    respond_async: bool,
    wait: Option<u32>,
}

impl Preference {
    /// Reads it from the headers. What cannot be understood is ignored, as the RFC wants it;
    /// of a preference that is given twice the first one counts.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut preference = Self::default();
        let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        for stated in values.flat_map(|value| value.split(',')) {
            // What follows a semicolon are parameters of the preference.
            let stated = stated.split(';').next().unwrap_or_default();
            let (name, value) = stated.split_once('=').unwrap_or((stated, ""));
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "respond-async" => preference.respond_async = true,
                "wait" if preference.wait.is_none() => preference.wait = value.parse().ok(),
                _ => {}
            }
        }
        preference
    }

    /// How long the client waits before it wants to hear that the run goes on; none: as long
    /// as it takes.
    pub fn patience(&self) -> Option<Duration> {
        match (self.respond_async, self.wait) {
            (_, Some(seconds)) => Some(Duration::from_secs(seconds.into())),
            (true, None) => Some(Duration::ZERO),
            (false, None) => None,
        }
    }

    /// What the answer says about it: of an answer that came in time only `wait` was honoured.
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
        Preference::of(&headers)
    }

    #[test]
    fn is_read_as_the_rfc_writes_it() {
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
    fn says_what_was_honoured() {
        let both = preference(&["respond-async, wait=2"]);
        assert_eq!(both.patience(), Some(Duration::from_secs(2)));
        assert_eq!(both.applied(false).unwrap(), "respond-async, wait=2");
        assert_eq!(both.applied(true).unwrap(), "wait=2");
        assert_eq!(preference(&[]).applied(false), None);
    }
}
