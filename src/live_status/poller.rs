//! The task that polls Proxmox for all clients with the same scope.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout};

use crate::config::StatusSettings;
use crate::inventory;
use crate::inventory::Credentials;
use crate::live_status::credentials::{CredentialsFile, NOT_FOUND};
use crate::live_status::guest;
use crate::live_status::guest::Guest;
use crate::live_status::{Nodes, Registration};
use crate::proxmox::client::{Client, ProxmoxError};

/// The maximum delay between two polls while Proxmox does not answer.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// Why a poll failed.
enum Failure {
    /// The next poll may succeed.
    Transient(String),
    /// Polling cannot succeed until the configuration changes.
    Permanent(String),
}

impl From<ProxmoxError> for Failure {
    fn from(error: ProxmoxError) -> Self {
        match error {
            ProxmoxError::Credentials(_) => Self::Permanent(error.to_string()),
            _ => Self::Transient(error.to_string()),
        }
    }
}

/// The state of the task.
pub(super) struct Poller {
    registration: Registration,
    file: Arc<CredentialsFile>,
    settings: StatusSettings,
    /// The credentials in the inventory at the last poll.
    inventory: Option<Arc<[Credentials]>>,
    /// The node of the first credentials.
    default_node: Option<String>,
    client: Option<(Credentials, Client)>,
    /// Whether the last list was empty and Proxmox has confirmed this.
    confirmed_empty: bool,
    failures: u32,
    last_good: Timestamp,
}

impl Poller {
    /// Creates a poller. [`Poller::run`] starts polling.
    pub(super) fn new(
        registration: Registration,
        file: Arc<CredentialsFile>,
        settings: StatusSettings,
    ) -> Self {
        Self {
            registration,
            file,
            settings,
            inventory: None,
            default_node: None,
            client: None,
            confirmed_empty: false,
            failures: 0,
            last_good: Timestamp::now(),
        }
    }

    /// Polls until there are no subscriptions or the failure is permanent.
    pub(super) async fn run(mut self) {
        tracing::info!(scope = %self.registration.scope, "polling started");
        loop {
            let started = Instant::now();
            let polled = self.poll().await;
            self.registration.count(match polled {
                Ok(_) => "ok",
                Err(Failure::Transient(_)) => "failed",
                Err(Failure::Permanent(_)) => "refused",
            });
            match polled {
                Ok(guests) => self.succeed(guests),
                Err(Failure::Transient(error)) => self.fail(&error),
                Err(Failure::Permanent(error)) => {
                    tracing::warn!(scope = %self.registration.scope, error, "polling stopped");
                    return self.registration.end(&error);
                }
            }
            self.wait(started).await;
            if self.registration.close_if_unused() {
                tracing::info!(scope = %self.registration.scope, "polling stopped: there are no clients");
                return;
            }
        }
    }

    fn succeed(&mut self, guests: Vec<Guest>) {
        if self.registration.snapshot.borrow().is_stale() {
            tracing::info!(scope = %self.registration.scope, "Proxmox answers again");
        }
        self.failures = 0;
        self.last_good = Timestamp::now();
        self.registration.snapshot.send_if_modified(|snapshot| snapshot.apply(guests));
    }

    fn fail(&mut self, error: &str) {
        self.failures += 1;
        let since = self.last_good.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        if self
            .registration
            .snapshot
            .send_if_modified(|snapshot| snapshot.mark_stale(&since, error))
        {
            tracing::warn!(scope = %self.registration.scope, error, "polling failed; retrying with backoff");
        }
        // The next poll creates a new client, which reads `proxmox_ca_file` again.
        self.client = None;
    }

    async fn poll(&mut self) -> Result<Vec<Guest>, Failure> {
        // If the file cannot be read, its content counts as changed when it can be read again.
        self.inventory = None;
        let all = self.file.read().await.map_err(|e| Failure::Transient(e.to_string()))?;
        self.inventory = Some(all.clone());
        let default = all.first().map(|first| first.node.clone());
        if default != self.default_node {
            // Wakes clients that follow the default node, so that they subscribe again.
            self.registration.snapshot.send_modify(|_| ());
            self.default_node = default;
        }
        let own = inventory::for_node(all.to_vec(), self.registration.scope.node());
        let credentials = own.ok_or_else(|| Failure::Permanent(NOT_FOUND.to_owned()))?;
        let client = self.client(credentials)?;
        timeout(self.settings.poll_limit, self.list_guests(&client))
            .await
            .unwrap_or_else(|_| Err(ProxmoxError::Unreachable("no answer in time".into()).into()))
    }

    fn client(&mut self, credentials: Credentials) -> Result<Client, ProxmoxError> {
        match &self.client {
            Some((known, client)) if *known == credentials => Ok(client.clone()),
            _ => {
                let client = Client::new(credentials.clone())?;
                self.client = Some((credentials, client.clone()));
                Ok(client)
            }
        }
    }

    /// Lists the guests. For an unknown node or a token without privileges, Proxmox returns an error
    /// or an empty list. In these cases the node and the privileges are checked too.
    async fn list_guests(&mut self, client: &Client) -> Result<Vec<Guest>, Failure> {
        let listed = guest::list(client, &self.registration.scope).await;
        let empty = listed.as_ref().is_ok_and(Vec::is_empty);
        if listed.is_ok() && !empty {
            self.confirmed_empty = false;
        }
        let ambiguous = match &listed {
            Ok(_) => empty && !self.confirmed_empty,
            Err(error) => matches!(error, ProxmoxError::Status { .. }),
        };
        if !ambiguous {
            return Ok(listed?);
        }
        if let Nodes::One(node) = &self.registration.scope.nodes {
            match client.nodes().await {
                Ok(known) if known.contains(node) => {}
                Ok(_) => {
                    let unknown = format!("the Proxmox API has no node named {node:?}");
                    return Err(Failure::Permanent(unknown));
                }
                Err(error @ ProxmoxError::Credentials(_)) => return Err(error.into()),
                Err(error) => return Err(listed.err().unwrap_or(error).into()),
            }
        }
        let guests = listed?;
        if !client.can_see_guests().await? {
            let error = "the Proxmox API token cannot see any guest: grant it VM.Audit";
            return Err(Failure::Permanent(error.to_owned()));
        }
        self.confirmed_empty = true;
        Ok(guests)
    }

    /// Waits until the next poll is due or the credentials have changed.
    async fn wait(&self, started: Instant) {
        let every = self.settings.poll_every;
        if self.failures == 0 {
            // If a poll took longer than the interval, wait for a whole interval to limit the load.
            let elapsed = started.elapsed();
            return sleep(every.checked_sub(elapsed).unwrap_or(every)).await;
        }
        let until = Instant::now() + backoff(every, self.failures, fastrand::f64());
        while Instant::now() < until && self.registration.snapshot.receiver_count() > 0 {
            sleep(every.min(until - Instant::now())).await;
            if self.file.read().await.ok() != self.inventory {
                return;
            }
        }
    }
}

/// Returns the delay after consecutive failures: exponential backoff with jitter, so that servers
/// do not retry at the same time. `jitter`, 0 to 1, scales the delay from one half to all of it.
fn backoff(every: Duration, failures: u32, jitter: f64) -> Duration {
    let doubled = every.saturating_mul(1 << failures.min(16));
    doubled.min(MAX_BACKOFF.max(every)).mul_f64(0.5 + jitter / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_a_minute_and_jitter_halves_it_at_most() {
        let every = Duration::from_secs(5);
        let longest: Vec<_> = (1..8).map(|n| backoff(every, n, 1.0).as_secs()).collect();
        assert_eq!(longest, [10, 20, 40, 60, 60, 60, 60]);
        assert_eq!(backoff(every, 1, 0.0), Duration::from_secs(5));
        assert_eq!(backoff(every, u32::MAX, 0.0), Duration::from_secs(30));
        assert_eq!(backoff(Duration::from_secs(90), 3, 1.0), Duration::from_secs(90));
    }
}
