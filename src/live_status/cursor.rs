//! What clients have been told, and what they are to be told next.
//!
//! All clients of a poller are told the same: each new version is one step from the one before
//! it, made into text once and shared. A client that has missed a step gets everything instead,
//! so that no client has a backlog and none can drift.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

use crate::live_status::guest::Guest;

/// A message as it is sent: the UTF-8 of its JSON. Copies share one text.
pub type Frame = Bytes;

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
#[derive(Debug, Clone, Default)]
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::live_status::guest::Percent;

    fn guest(vmid: u64, node: &str, cpu: f64) -> Guest {
        Guest {
            vmid,
            name: format!("guest-{vmid}"),
            status: "running".to_owned(),
            cpu: Percent::of_share(cpu),
            mem: 1,
            maxmem: 2,
            uptime: 3,
            template: 0,
            tags: String::new(),
            node: Some(node.to_owned()),
            guest_type: Some("qemu".to_owned()),
        }
    }

    /// All that a client is told now.
    fn news(told: &mut Told, view: &View) -> Vec<Value> {
        std::iter::from_fn(|| told.next(view))
            .map(|frame| serde_json::from_slice(&frame).unwrap())
            .collect()
    }

    fn types(messages: &[Value]) -> Vec<&str> {
        messages.iter().map(|message| message["type"].as_str().unwrap()).collect()
    }

    #[test]
    fn a_guest_that_moves_to_another_node_has_changed() {
        let (mut view, mut told) = (View::default(), Told::default());
        assert!(view.take_in(vec![guest(100, "pve01", 0.1)]));
        assert_eq!(types(&news(&mut told, &view)), ["full"]);
        assert!(!view.take_in(vec![guest(100, "pve01", 0.1)]));
        assert!(view.take_in(vec![guest(100, "pve02", 0.1)]));
        let moved = news(&mut told, &view);
        assert_eq!(moved[0]["changes"]["100"]["node"], "pve02");
        assert_eq!(moved[0]["changes"]["100"]["type"], "changed");
        assert_eq!(moved[0]["changes"]["100"]["guest_type"], "qemu");
    }

    #[test]
    fn one_step_behind_is_a_diff_and_two_are_everything() {
        let mut view = View::default();
        let (mut quick, mut slow) = (Told::default(), Told::default());
        view.take_in(vec![guest(100, "pve01", 0.1)]);
        assert_eq!(types(&news(&mut quick, &view)), ["full"]);
        assert_eq!(types(&news(&mut slow, &view)), ["full"]);
        view.take_in(vec![guest(100, "pve01", 0.5)]);
        assert_eq!(types(&news(&mut quick, &view)), ["diff"]);
        view.take_in(vec![guest(100, "pve01", 0.9), guest(99, "pve01", 0.0)]);
        assert_eq!(types(&news(&mut quick, &view)), ["diff"]);
        let afresh = news(&mut slow, &view);
        assert_eq!(types(&afresh), ["full"]);
        assert_eq!(afresh[0]["vms"][0]["vmid"], 99);
        assert_eq!(afresh[0]["vms"][1]["cpu"], 90.0);
    }

    #[test]
    fn an_outage_is_told_once_and_so_is_its_end() {
        let (mut view, mut told) = (View::default(), Told::default());
        assert!(view.lose_sight("2026-01-01T00:00:00Z", "first"));
        assert_eq!(types(&news(&mut told, &view)), ["stale"]);
        assert!(!view.lose_sight("2026-01-01T00:00:00Z", "second"));
        assert!(news(&mut told, &view).is_empty());
        assert!(view.take_in(vec![]));
        assert_eq!(types(&news(&mut told, &view)), ["full"]);
        // A second one is told again, also to a client that has not seen the end of the first.
        let mut slow = told.clone();
        assert!(view.lose_sight("2026-01-01T00:00:01Z", "third"));
        assert_eq!(types(&news(&mut slow, &view)), ["stale"]);
        assert!(view.take_in(vec![]));
        assert!(view.lose_sight("2026-01-01T00:00:02Z", "fourth"));
        assert_eq!(types(&news(&mut slow, &view)), ["diff", "stale"]);
        assert_eq!(types(&news(&mut told, &view)), ["diff", "stale"]);
    }
}
