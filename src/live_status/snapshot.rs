//! Versions of the status, and the messages that lead from one version to the next.
//!
//! All clients of a poller get the same messages: the diff from one version to the next is
//! serialized once and shared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

use crate::live_status::guest::Guest;

/// A message as JSON in UTF-8. Clones share the same buffer.
pub type Frame = Bytes;

/// The guests of one version, by VM ID.
#[derive(Debug, Default)]
pub struct Guests {
    by_id: BTreeMap<u64, Guest>,
    full: OnceLock<Frame>,
}

/// A member of `changes`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Change<'a> {
    Added(&'a Guest),
    Changed(&'a Guest),
    Removed { vmid: u64 },
}

/// An item of `vms`. It has the type of the guest as both `guest_type` and `type`; in `changes`,
/// `type` is the kind of the change.
#[derive(Serialize)]
struct Item<'a> {
    #[serde(flatten)]
    guest: &'a Guest,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    guest_type: Option<&'a str>,
}

impl Guests {
    /// Returns the next version for the listed guests, and the diff if there are changes.
    ///
    /// The CPU usage of an unchanged guest keeps the value that was sent last, even for clients
    /// that connect later. Further values are compared with it, so small changes add up.
    fn advance(&self, now: Vec<Guest>) -> (Self, Option<Frame>) {
        let mut by_id = BTreeMap::new();
        let mut changed = BTreeSet::new();
        for mut guest in now {
            match self.by_id.get(&guest.vmid) {
                Some(sent) if !guest.differs_from(sent) => guest.cpu = sent.cpu,
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
        let diff = (!changes.is_empty()).then(|| diff_frame(&changes));
        (Self { by_id, full: OnceLock::new() }, diff)
    }

    /// Returns the full message, serialized when the first client needs it.
    pub(super) fn full(&self) -> Frame {
        let make = || {
            let items = self.by_id.values();
            let vms: Vec<_> =
                items.map(|g| Item { guest: g, guest_type: g.guest_type.as_deref() }).collect();
            frame(&json!({ "type": "full", "vms": vms }))
        };
        self.full.get_or_init(make).clone()
    }
}

fn diff_frame(changes: &BTreeMap<u64, Change>) -> Frame {
    frame(&json!({ "type": "diff", "changes": changes }))
}

fn frame(message: &serde_json::Value) -> Frame {
    message.to_string().into()
}

/// The current version of the status.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Incremented for each change that clients must receive. 0 means that there is no data yet.
    pub(super) version: u64,
    pub(super) guests: Arc<Guests>,
    /// The diff from the previous version.
    pub(super) diff: Option<Frame>,
    /// The `stale` message, while Proxmox does not answer.
    pub(super) stale: Option<Frame>,
    /// The error message, if polling has ended.
    ended: Option<Frame>,
}

impl Snapshot {
    /// Applies a list of guests from Proxmox. Returns true if there is a message for clients.
    pub fn apply(&mut self, now: Vec<Guest>) -> bool {
        let (guests, diff) = self.guests.advance(now);
        self.guests = Arc::new(guests);
        let recovered = self.stale.take().is_some();
        let first = self.version == 0;
        // An empty diff tells clients about the recovery if no guest has changed.
        let diff = diff.or_else(|| recovered.then(|| diff_frame(&BTreeMap::new())));
        let changed = first || diff.is_some();
        if changed {
            self.version += 1;
            self.diff = diff.filter(|_| !first);
        }
        changed
    }

    /// Marks the status as stale since `since`. Returns true if it was not stale before.
    pub fn mark_stale(&mut self, since: &str, error: &str) -> bool {
        let new = self.stale.is_none();
        if new {
            let message = json!({ "type": "stale", "since": since, "error": error });
            self.stale = Some(frame(&message));
        }
        new
    }

    /// Ends the status with an error as the last message.
    pub fn end(&mut self, error: &str) {
        self.ended = Some(error_frame(error));
    }

    /// Returns the last message if the status has ended.
    pub fn ended(&self) -> Option<&Frame> {
        self.ended.as_ref()
    }

    /// Returns true while Proxmox does not answer.
    pub fn is_stale(&self) -> bool {
        self.stale.is_some()
    }
}

/// Returns the message that precedes closing a connection because of an error.
pub fn error_frame(error: &str) -> Frame {
    frame(&json!({ "error": error }))
}
