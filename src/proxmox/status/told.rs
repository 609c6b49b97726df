//! What clients have been told, and what they are to be told next.
//!
//! All clients of a poller are told the same: each new version is one step from the one before
//! it, made into text once and shared. A client that has missed a step gets everything instead,
//! so that no client has a backlog and none can drift.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use axum::extract::ws::Utf8Bytes;
use serde::Serialize;
use serde_json::json;

use super::guest::Guest;

/// A message as it is sent. Copies share one text.
pub type Frame = Utf8Bytes;

/// The guests of one version, by id.
#[derive(Debug, Default)]
pub struct Guests {
    by_id: BTreeMap<u64, Guest>,
    full: OnceLock<Frame>,
}

/// One member of `changes`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Change<'a> {
    Added(&'a Guest),
    Changed(&'a Guest),
    Removed { vmid: u64 },
}

/// An item of `vms`. In `changes` the member `type` says what happened, so the type of a guest
/// stands in `guest_type` in both, and in `type` here.
#[derive(Serialize)]
struct Item<'a> {
    #[serde(flatten)]
    guest: &'a Guest,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    guest_type: Option<&'a str>,
}

impl Guests {
    /// The next version after Proxmox listed `now`, and the `changes` where there are any.
    ///
    /// The CPU of a guest that has not changed stays as it was told, also for clients that join
    /// later. It is compared with that value until it is far enough away, so nothing drifts.
    fn advance(&self, now: Vec<Guest>) -> (Self, Option<Frame>) {
        let mut by_id = BTreeMap::new();
        let mut changed = BTreeSet::new();
        for mut guest in now {
            match self.by_id.get(&guest.vmid) {
                Some(told) if !guest.differs_from(told) => guest.cpu = told.cpu,
                _ => _ = changed.insert(guest.vmid),
            }
            by_id.insert(guest.vmid, guest);
        }
        let mut changes = BTreeMap::new();
        for vmid in changed {
            let (guest, known) = (&by_id[&vmid], self.by_id.contains_key(&vmid));
            let change = if known { Change::Changed(guest) } else { Change::Added(guest) };
            changes.insert(vmid, change);
        }
        for vmid in self.by_id.keys().copied().filter(|vmid| !by_id.contains_key(vmid)) {
            changes.insert(vmid, Change::Removed { vmid });
        }
        let step = (!changes.is_empty()).then(|| diff(&changes));
        (Self { by_id, full: OnceLock::new() }, step)
    }

    /// All of them in one message, made when the first client needs it.
    fn full(&self) -> Frame {
        let make = || {
            let items = self.by_id.values();
            let vms: Vec<_> =
                items.map(|g| Item { guest: g, guest_type: g.guest_type.as_deref() }).collect();
            frame(&json!({ "type": "full", "vms": vms }))
        };
        self.full.get_or_init(make).clone()
    }
}

fn diff(changes: &BTreeMap<u64, Change>) -> Frame {
    frame(&json!({ "type": "diff", "changes": changes }))
}

fn frame(message: &serde_json::Value) -> Frame {
    message.to_string().into()
}

/// What a poller has to say at present.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Counts what clients must be told; 0 is nothing yet.
    version: u64,
    guests: Arc<Guests>,
    /// The way here from the version before.
    step: Option<Frame>,
    /// Proxmox does not answer, and this says so.
    stale: Option<Frame>,
    /// Nothing more will come, and this says why.
    ended: Option<Frame>,
}

impl View {
    /// Takes in what Proxmox listed. Answers whether clients are to be told something.
    pub fn take_in(&mut self, now: Vec<Guest>) -> bool {
        let (guests, step) = self.guests.advance(now);
        self.guests = Arc::new(guests);
        let recovered = self.stale.take().is_some();
        let first = self.version == 0;
        // Clients that were told of the fault are told of its end, even if nothing else changed.
        let step = step.or_else(|| recovered.then(|| diff(&BTreeMap::new())));
        let news = first || step.is_some();
        if news {
            self.version += 1;
            self.step = step.filter(|_| !first);
        }
        news
    }

    /// Proxmox does not answer since `since`. Answers whether that is new.
    pub fn lose_sight(&mut self, since: &str, error: &str) -> bool {
        let new = self.stale.is_none();
        if new {
            let message = json!({ "type": "stale", "since": since, "error": error });
            self.stale = Some(frame(&message));
        }
        new
    }

    /// Nothing more will come.
    pub fn end(&mut self, error: &str) {
        self.ended = Some(error_frame(error));
    }

    /// The last message, if nothing more will come.
    pub fn ended(&self) -> Option<&Frame> {
        self.ended.as_ref()
    }

    /// Whether Proxmox does not answer at present.
    pub fn is_stale(&self) -> bool {
        self.stale.is_some()
    }
}

/// The message before a connection is closed by an error.
pub fn error_frame(error: &str) -> Frame {
    frame(&json!({ "error": error }))
}

/// How far one client has been told.
#[derive(Debug, Default)]
pub struct Told {
    version: u64,
    stale: bool,
}

impl Told {
    /// The next message for this client, until there is none.
    pub fn next(&mut self, view: &View) -> Option<Frame> {
        if self.version != view.version {
            let one_step = self.version != 0 && self.version + 1 == view.version;
            *self = Self { version: view.version, stale: false };
            return match &view.step {
                Some(step) if one_step => Some(step.clone()),
                _ => Some(view.guests.full()),
            };
        }
        let stale = view.stale.as_ref().filter(|_| !self.stale)?;
        self.stale = true;
        Some(stale.clone())
    }
}
