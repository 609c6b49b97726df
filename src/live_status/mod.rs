//! Live status: what Proxmox's guests do, for any number of clients at the price of one.
//!
//! One `poller` per node asks Proxmox while anybody watches; what it finds becomes the next
//! version of a [`View`]; each client is told its way from the version it has ([`Told`]).

mod credentials;
pub mod cursor;
pub mod guest;
pub mod metrics;
mod poller;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

pub use crate::live_status::credentials::NOT_FOUND;
pub use crate::live_status::cursor::{Frame, Told, View, error_frame};

use crate::config::StatusSettings;
use crate::live_status::credentials::CredentialsFile;
use crate::live_status::poller::Poller;
use metrics::{PollLabels, Polls};

/// Which nodes are watched.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Nodes {
    /// One, by its name.
    One(String),
    /// All of the cluster.
    All,
}

/// What a client asked for; none is the node of the inventory's first credentials.
pub type Wanted = Option<Nodes>;

/// What a client watches. Clients that watch the same share a poller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Watched {
    /// On which nodes.
    pub nodes: Nodes,
    /// LXC containers too, not only QEMU machines.
    pub containers: bool,
}

impl Watched {
    fn node(&self) -> Option<&str> {
        match &self.nodes {
            Nodes::One(node) => Some(node),
            Nodes::All => None,
        }
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guests = if self.containers { "qemu+lxc" } else { "qemu" };
        write!(f, "{}/{guests}", self.node().unwrap_or("*"))
    }
}

/// A client's sight of what a poller finds. The poller goes on as long as somebody has one.
pub struct Watching {
    /// What there is to tell.
    pub view: watch::Receiver<View>,
    /// The node, where the client named none.
    by_default: Option<String>,
    file: Arc<CredentialsFile>,
}

impl Watching {
    /// Whether the inventory's first credentials are for another node by now, so that a client
    /// that named none is to watch that one.
    pub fn is_elsewhere(&self) -> bool {
        let Some(node) = &self.by_default else { return false };
        self.file.default_node().is_some_and(|now| now != *node)
    }
}

/// The time a client has to answer the end of its connection.
pub const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// The right to be one of the clients; it ends when it is dropped.
pub type Seat = OwnedSemaphorePermit;

/// All pollers and clients of a server.
#[derive(Clone)]
pub struct LiveStatus {
    shared: Arc<Shared>,
}

struct Shared {
    settings: StatusSettings,
    file: Arc<CredentialsFile>,
    pollers: Mutex<HashMap<Watched, watch::Sender<View>>>,
    seats: Arc<Semaphore>,
    ending: watch::Sender<bool>,
    polls: Polls,
}

impl LiveStatus {
    /// Nothing is polled before the first client comes.
    pub fn new(settings: StatusSettings, inventory_dir: PathBuf, polls: Polls) -> Self {
        let seats = Arc::new(Semaphore::new(settings.max_clients.get() as usize));
        Self {
            shared: Arc::new(Shared {
                settings,
                file: Arc::new(CredentialsFile::new(inventory_dir)),
                pollers: Mutex::default(),
                seats,
                ending: watch::Sender::new(false),
                polls,
            }),
        }
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &StatusSettings {
        &self.shared.settings
    }

    /// A place for one more client, unless all are taken or the server ends.
    pub fn seat(&self) -> Option<Seat> {
        let seat = self.shared.seats.clone().try_acquire_owned().ok()?;
        (!*self.shared.ending.borrow()).then_some(seat)
    }

    /// How many clients there are.
    pub fn clients(&self) -> usize {
        self.shared.settings.max_clients.get() as usize - self.shared.seats.available_permits()
    }

    /// Watches `nodes`; `None` where the inventory has no credentials.
    pub async fn watch(&self, nodes: Wanted, containers: bool) -> Option<Watching> {
        let default = match self.shared.file.read().await {
            Ok(all) => all.first().map(|first| first.node.clone()),
            Err(error) => {
                // A file that is just being written had credentials before, and a poller that
                // cannot read it says so.
                tracing::warn!(error = error.to_string(), "no Proxmox credentials");
                self.shared.file.default_node()
            }
        }?;
        let by_default = nodes.is_none().then(|| default.clone());
        let nodes = nodes.unwrap_or(Nodes::One(default));
        let view = self.shared.clone().join(Watched { nodes, containers });
        Some(Watching { view, by_default, file: self.shared.file.clone() })
    }

    /// Returns when the server is about to end.
    pub async fn ending(&self) {
        let mut ending = self.shared.ending.subscribe();
        // The sender lives as long as `self`.
        let _ = ending.wait_for(|ending| *ending).await;
    }

    /// Ends all connections (1001) and waits until they are closed, for a few seconds at most.
    pub async fn close_all(&self) {
        self.shared.ending.send_replace(true);
        let all = self.shared.settings.max_clients.get();
        if timeout(CLOSE_LIMIT * 2, self.shared.seats.acquire_many(all)).await.is_err() {
            tracing::warn!(clients = self.clients(), "live status: clients did not close in time");
        }
    }
}

impl Shared {
    fn join(self: Arc<Self>, watched: Watched) -> watch::Receiver<View> {
        let mut pollers = self.pollers.lock().expect("nothing panics with this lock");
        if let Some(view) = pollers.get(&watched) {
            return view.subscribe();
        }
        let (view, receiver) = watch::channel(View::default());
        pollers.insert(watched.clone(), view.clone());
        drop(pollers);
        let entry = Entry { shared: self.clone(), watched, view };
        tokio::spawn(Poller::new(entry, self.file.clone(), self.settings.clone()).run());
        receiver
    }
}

/// A poller's place among the pollers. It is given up when the poller ends, however it ends.
struct Entry {
    shared: Arc<Shared>,
    watched: Watched,
    view: watch::Sender<View>,
}

impl Entry {
    fn count(&self, result: &'static str) {
        self.shared.polls.get_or_create(&PollLabels { result }).inc();
    }

    /// Whether nobody watches. If so nobody can join any more either: both are decided under
    /// the lock that [`Shared::join`] takes.
    fn close_if_alone(&self) -> bool {
        let mut pollers = self.shared.pollers.lock().expect("nothing panics with this lock");
        let alone = self.view.receiver_count() == 0;
        if alone {
            pollers.remove(&self.watched);
        }
        alone
    }

    /// Tells every client `error` as the last message. Who comes later gets a new poller.
    fn end(&self, error: &str) {
        let mut pollers = self.shared.pollers.lock().expect("nothing panics with this lock");
        pollers.remove(&self.watched);
        self.view.send_modify(|view| view.end(error));
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let own = |view: &watch::Sender<View>| view.same_channel(&self.view);
        let Ok(mut pollers) = self.shared.pollers.lock() else { return };
        if pollers.get(&self.watched).is_some_and(own) {
            pollers.remove(&self.watched);
            self.view.send_modify(|view| view.end("live status ended by a fault of the server"));
        }
    }
}
