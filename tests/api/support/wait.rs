//! Waiting for what no event announces, such as the state of a process or the text of a response.

use std::time::Duration;

/// After this, a test fails instead of hanging. No duration is tested with it.
const HANG: Duration = Duration::from_secs(120);

const INTERVAL: Duration = Duration::from_millis(10);

/// Calls `poll` until it returns `Ok`. If it never does, panics with the last `Err`.
pub async fn eventually<T>(mut poll: impl AsyncFnMut() -> Result<T, String>) -> T {
    let mut last = "nothing was polled".to_owned();
    let polling = async {
        loop {
            match poll().await {
                Ok(value) => return value,
                Err(instead) => last = instead,
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    let found = tokio::time::timeout(HANG, polling).await;
    found.unwrap_or_else(|_| panic!("{last}"))
}

/// Waits until `condition` holds. `what` describes it if it never does.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    eventually(async || if condition().await { Ok(()) } else { Err(format!("not {what}")) }).await;
}

/// Waits for a future that completes by itself.
pub async fn within<F: Future>(wait: F) -> F::Output {
    tokio::time::timeout(HANG, wait).await.expect("it does not happen")
}
