//! One task that asks Proxmox again and again, for all clients that watch the same.

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
use crate::live_status::{Entry, Nodes};
use crate::proxmox::client::{Client, ProxmoxError};

/// A Proxmox that does not answer is asked again after this time at the latest.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Why a poll brought nothing.
enum Failure {
    /// It may go better next time.
    Passing(String),
    /// It needs somebody to change something.
    Lasting(String),
}

impl From<ProxmoxError> for Failure {
    fn from(error: ProxmoxError) -> Self {
        match error {
            ProxmoxError::Credentials(_) => Self::Lasting(error.to_string()),
            _ => Self::Passing(error.to_string()),
        }
    }
}

/// The task's state.
pub(super) struct Poller {
    entry: Entry,
    file: Arc<CredentialsFile>,
    settings: StatusSettings,
    /// What the inventory said at the last poll.
    inventory: Option<Arc<[Credentials]>>,
    /// The node of its first credentials.
    default_node: Option<String>,
    client: Option<(Credentials, Client)>,
    /// Whether the last list was empty, and Proxmox has said that it is so.
    confirmed_empty: bool,
    failures: u32,
    last_good: Timestamp,
}

impl Poller {
    /// Asks nothing before it runs.
    pub(super) fn new(entry: Entry, file: Arc<CredentialsFile>, settings: StatusSettings) -> Self {
        Self {
            entry,
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

    /// Polls until nobody watches, or until asking makes no sense any more.
    pub(super) async fn run(mut self) {
        tracing::info!(watched = %self.entry.watched, "polling starts");
        loop {
            let started = Instant::now();
            let polled = self.poll().await;
            self.entry.count(match polled {
                Ok(_) => "ok",
                Err(Failure::Passing(_)) => "failed",
                Err(Failure::Lasting(_)) => "refused",
            });
            match polled {
                Ok(guests) => self.succeed(guests),
                Err(Failure::Passing(error)) => self.fail(&error),
                Err(Failure::Lasting(error)) => {
                    tracing::warn!(watched = %self.entry.watched, error, "polling ends");
                    return self.entry.end(&error);
                }
            }
            self.rest(started).await;
            if self.entry.close_if_alone() {
                tracing::info!(watched = %self.entry.watched, "polling ends: nobody watches");
                return;
            }
        }
    }

    fn succeed(&mut self, guests: Vec<Guest>) {
        if self.entry.view.borrow().is_stale() {
            tracing::info!(watched = %self.entry.watched, "Proxmox answers again");
        }
        self.failures = 0;
        self.last_good = Timestamp::now();
        self.entry.view.send_if_modified(|view| view.take_in(guests));
    }

    fn fail(&mut self, error: &str) {
        self.failures += 1;
        let since = self.last_good.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        if self.entry.view.send_if_modified(|view| view.lose_sight(&since, error)) {
            tracing::warn!(watched = %self.entry.watched, error, "polling failed; asking more rarely");
        }
        // The next one starts afresh, with the certificates that are then on disk.
        self.client = None;
    }

    async fn poll(&mut self) -> Result<Vec<Guest>, Failure> {
        // Nothing is known while the file cannot be read, so that its return is a change.
        self.inventory = None;
        let all = self.file.read().await.map_err(|e| Failure::Passing(e.to_string()))?;
        self.inventory = Some(all.clone());
        let default = all.first().map(|first| first.node.clone());
        if default != self.default_node {
            // Who named no node looks by itself whether this is still the right one.
            self.entry.view.send_modify(|_| ());
            self.default_node = default;
        }
        let own = inventory::for_node(all.to_vec(), self.entry.watched.node());
        let credentials = own.ok_or_else(|| Failure::Lasting(NOT_FOUND.to_owned()))?;
        let client = self.client(credentials)?;
        timeout(self.settings.poll_limit, self.ask(&client))
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

    /// Asks for the guests. An answer that an unknown node or a token without rights would get
    /// as well is not believed before Proxmox has said that it knows the node, and the token has
    /// the right to see guests.
    async fn ask(&mut self, client: &Client) -> Result<Vec<Guest>, Failure> {
        let listed = guest::list(client, &self.entry.watched).await;
        let empty = listed.as_ref().is_ok_and(Vec::is_empty);
        if listed.is_ok() && !empty {
            self.confirmed_empty = false;
        }
        let doubtful = match &listed {
            Ok(_) => empty && !self.confirmed_empty,
            Err(error) => matches!(error, ProxmoxError::Status { .. }),
        };
        if !doubtful {
            return Ok(listed?);
        }
        if let Nodes::One(node) = &self.entry.watched.nodes {
            match client.nodes().await {
                Ok(known) if known.contains(node) => {}
                Ok(_) => {
                    let unknown = format!("the Proxmox API knows no node named {node:?}");
                    return Err(Failure::Lasting(unknown));
                }
                Err(error @ ProxmoxError::Credentials(_)) => return Err(error.into()),
                Err(error) => return Err(listed.err().unwrap_or(error).into()),
            }
        }
        let guests = listed?;
        if !client.may_see_guests().await? {
            let blind = "the Proxmox API lets the token see no guest: it has VM.Audit nowhere";
            return Err(Failure::Lasting(blind.to_owned()));
        }
        self.confirmed_empty = true;
        Ok(guests)
    }

    /// Waits until it is time for the next poll, or until the credentials have changed.
    async fn rest(&self, started: Instant) {
        let every = self.settings.poll_every;
        if self.failures == 0 {
            // A Proxmox that needs longer than a whole interval gets as long to recover.
            let spent = started.elapsed();
            return sleep(every.checked_sub(spent).unwrap_or(every)).await;
        }
        let until = Instant::now() + backoff(every, self.failures, fastrand::f64());
        while Instant::now() < until && self.entry.view.receiver_count() > 0 {
            sleep(every.min(until - Instant::now())).await;
            if self.file.read().await.ok() != self.inventory {
                return;
            }
        }
    }
}

/// The wait after so many failures: twice as long after each, and of that between a half and
/// all by `chance` (0 to 1), so that servers that lost Proxmox together do not return together.
fn backoff(every: Duration, failures: u32, chance: f64) -> Duration {
    let doubled = every.saturating_mul(1 << failures.min(16));
    doubled.min(LONGEST_WAIT.max(every)).mul_f64(0.5 + chance / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_minute_with_half_of_it_left_to_chance() {
        let every = Duration::from_secs(5);
        let longest: Vec<_> = (1..8).map(|n| backoff(every, n, 1.0).as_secs()).collect();
        assert_eq!(longest, [10, 20, 40, 60, 60, 60, 60]);
        assert_eq!(backoff(every, 1, 0.0), Duration::from_secs(5));
        assert_eq!(backoff(every, u32::MAX, 0.0), Duration::from_secs(30));
        assert_eq!(backoff(Duration::from_secs(90), 3, 1.0), Duration::from_secs(90));
    }
}
