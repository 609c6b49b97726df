//! Live status: the state of Proxmox guests, polled once for any number of clients.
//!
//! A `poller` runs as long as there are subscriptions to its [`Scope`]. Each poll that finds a
//! change creates the next version of a [`Snapshot`]. A [`ClientCursor`] records which version a
//! client has and yields the messages up to the current one.

mod credentials;
pub mod cursor;
pub mod guest;
pub mod metrics;
mod poller;
pub mod snapshot;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

pub use crate::live_status::credentials::NOT_FOUND;
pub use crate::live_status::cursor::ClientCursor;
pub use crate::live_status::snapshot::{Frame, Snapshot, error_frame};

use crate::config::StatusSettings;
use crate::live_status::credentials::CredentialsFile;
use crate::live_status::poller::Poller;
use metrics::{PollLabels, Polls};

/// The nodes to watch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Nodes {
    /// The node with this name.
    One(String),
    /// All nodes of the cluster.
    All,
}

/// The nodes that a client requests. `None` is the node of the first credentials in the inventory.
pub type RequestedNodes = Option<Nodes>;

/// What to watch. Clients with the same scope share a poller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The nodes.
    pub nodes: Nodes,
    /// Whether to include LXC containers in addition to QEMU VMs.
    pub containers: bool,
}

impl Scope {
    fn node(&self) -> Option<&str> {
        match &self.nodes {
            Nodes::One(node) => Some(node),
            Nodes::All => None,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guests = if self.containers { "qemu+lxc" } else { "qemu" };
        write!(f, "{}/{guests}", self.node().unwrap_or("*"))
    }
}

/// A subscription to a poller. The poller runs as long as it has subscriptions.
pub struct Subscription {
    /// The current snapshot.
    pub snapshot: watch::Receiver<Snapshot>,
    /// The default node, if the client requested none.
    default_node: Option<String>,
    file: Arc<CredentialsFile>,
}

impl Subscription {
    /// Returns true if the client follows the default node and the inventory has another one by now,
    /// so that a new subscription is needed.
    pub fn default_node_changed(&self) -> bool {
        let Some(node) = &self.default_node else { return false };
        self.file.default_node().is_some_and(|now| now != *node)
    }
}

/// The timeout for the closing handshake of a connection.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Counts against the limit of clients until it is dropped.
pub type ClientPermit = OwnedSemaphorePermit;

/// All pollers and clients of a server.
#[derive(Clone)]
pub struct LiveStatus {
    shared: Arc<Shared>,
}

struct Shared {
    settings: StatusSettings,
    file: Arc<CredentialsFile>,
    pollers: Mutex<HashMap<Scope, watch::Sender<Snapshot>>>,
    permits: Arc<Semaphore>,
    shutting_down: watch::Sender<bool>,
    polls: Polls,
}

impl LiveStatus {
    /// Creates the service. Polling starts with the first subscription.
    pub fn new(settings: StatusSettings, inventory_dir: PathBuf, polls: Polls) -> Self {
        let permits = Arc::new(Semaphore::new(settings.max_clients.get() as usize));
        Self {
            shared: Arc::new(Shared {
                settings,
                file: Arc::new(CredentialsFile::new(inventory_dir)),
                pollers: Mutex::default(),
                permits,
                shutting_down: watch::Sender::new(false),
                polls,
            }),
        }
    }

    /// Returns the settings.
    pub fn settings(&self) -> &StatusSettings {
        &self.shared.settings
    }

    /// Returns a permit for a client, or `None` if the limit is reached or the server shuts down.
    pub fn try_acquire(&self) -> Option<ClientPermit> {
        let permit = self.shared.permits.clone().try_acquire_owned().ok()?;
        (!*self.shared.shutting_down.borrow()).then_some(permit)
    }

    /// Returns the number of clients.
    pub fn clients(&self) -> usize {
        self.shared.settings.max_clients.get() as usize - self.shared.permits.available_permits()
    }

    /// Subscribes to `nodes`. Returns `None` if the inventory contains no credentials.
    pub async fn subscribe(&self, nodes: RequestedNodes, containers: bool) -> Option<Subscription> {
        let default = match self.shared.file.read().await {
            Ok(all) => all.first().map(|first| first.node.clone()),
            Err(error) => {
                // The file may be in the middle of being written, so the last known node is
                // used. If the error persists, the poller reports it.
                tracing::warn!(error = error.to_string(), "no Proxmox credentials");
                self.shared.file.default_node()
            }
        }?;
        let default_node = nodes.is_none().then(|| default.clone());
        let nodes = nodes.unwrap_or(Nodes::One(default));
        let snapshot = self.shared.clone().join(Scope { nodes, containers });
        Some(Subscription { snapshot, default_node, file: self.shared.file.clone() })
    }

    /// Waits for the shutdown of the server.
    pub async fn shutdown_started(&self) {
        let mut shutting_down = self.shared.shutting_down.subscribe();
        // The sender lives as long as `self`.
        let _ = shutting_down.wait_for(|shutting_down| *shutting_down).await;
    }

    /// Closes all connections with code 1001 and waits for up to twice [`CLOSE_TIMEOUT`].
    pub async fn close_all(&self) {
        self.shared.shutting_down.send_replace(true);
        let all = self.shared.settings.max_clients.get();
        if timeout(CLOSE_TIMEOUT * 2, self.shared.permits.acquire_many(all)).await.is_err() {
            tracing::warn!(clients = self.clients(), "live status clients did not close in time");
        }
    }
}

impl Shared {
    fn join(self: Arc<Self>, scope: Scope) -> watch::Receiver<Snapshot> {
        let mut pollers = self.pollers.lock().expect("nothing panics while it holds this lock");
        if let Some(snapshot) = pollers.get(&scope) {
            return snapshot.subscribe();
        }
        let (snapshot, receiver) = watch::channel(Snapshot::default());
        pollers.insert(scope.clone(), snapshot.clone());
        drop(pollers);
        let registration = Registration { shared: self.clone(), scope, snapshot };
        tokio::spawn(Poller::new(registration, self.file.clone(), self.settings.clone()).run());
        receiver
    }
}

/// The registration of a poller, removed on drop.
struct Registration {
    shared: Arc<Shared>,
    scope: Scope,
    snapshot: watch::Sender<Snapshot>,
}

impl Registration {
    fn count(&self, result: &'static str) {
        self.shared.polls.get_or_create(&PollLabels { result }).inc();
    }

    /// Removes the registration if there are no subscriptions. Returns true if it was removed.
    ///
    /// The check and the removal are atomic: [`Shared::join`] takes the same lock.
    fn close_if_unused(&self) -> bool {
        let mut pollers =
            self.shared.pollers.lock().expect("nothing panics while it holds this lock");
        let unused = self.snapshot.receiver_count() == 0;
        if unused {
            pollers.remove(&self.scope);
        }
        unused
    }

    /// Sends `error` to all clients as the last message. New clients start a new poller.
    fn end(&self, error: &str) {
        let mut pollers =
            self.shared.pollers.lock().expect("nothing panics while it holds this lock");
        pollers.remove(&self.scope);
        self.snapshot.send_modify(|snapshot| snapshot.end(error));
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let own = |snapshot: &watch::Sender<Snapshot>| snapshot.same_channel(&self.snapshot);
        let Ok(mut pollers) = self.shared.pollers.lock() else { return };
        if pollers.get(&self.scope).is_some_and(own) {
            pollers.remove(&self.scope);
            self.snapshot.send_modify(|snapshot| {
                snapshot.end("live status failed because of an internal error")
            });
        }
    }
}
