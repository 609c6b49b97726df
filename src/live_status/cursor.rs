//! The position of one client, and the messages that bring it to the current version.
//!
//! A client that is more than one version behind gets a full message instead of diffs, so there is
//! no backlog per client and no client can drift.

use crate::live_status::snapshot::{Frame, Snapshot};

/// The position of one client in the sequence of messages.
#[derive(Debug, Clone, Default)]
pub struct ClientCursor {
    version: u64,
    stale: bool,
}

impl ClientCursor {
    /// Returns the next message for the client, or `None` if it is up to date.
    pub fn next(&mut self, snapshot: &Snapshot) -> Option<Frame> {
        if self.version != snapshot.version {
            let one_behind = self.version != 0 && self.version + 1 == snapshot.version;
            *self = Self { version: snapshot.version, stale: false };
            return match &snapshot.diff {
                Some(diff) if one_behind => Some(diff.clone()),
                _ => Some(snapshot.guests.full()),
            };
        }
        let stale = snapshot.stale.as_ref().filter(|_| !self.stale)?;
        self.stale = true;
        Some(stale.clone())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::live_status::guest::{Guest, Percent};

    fn guest(vmid: u64, node: &str, cpu: f64) -> Guest {
        Guest {
            vmid,
            name: format!("guest-{vmid}"),
            status: "running".to_owned(),
            cpu: Percent::from_fraction(cpu),
            mem: 1,
            maxmem: 2,
            uptime: 3,
            template: 0,
            tags: String::new(),
            node: Some(node.to_owned()),
            guest_type: Some("qemu".to_owned()),
        }
    }

    /// Returns all messages for a client.
    fn messages(cursor: &mut ClientCursor, snapshot: &Snapshot) -> Vec<Value> {
        std::iter::from_fn(|| cursor.next(snapshot))
            .map(|frame| serde_json::from_slice(&frame).unwrap())
            .collect()
    }

    fn types(messages: &[Value]) -> Vec<&str> {
        messages.iter().map(|message| message["type"].as_str().unwrap()).collect()
    }

    #[test]
    fn a_guest_that_moves_to_another_node_has_changed() {
        let (mut snapshot, mut cursor) = (Snapshot::default(), ClientCursor::default());
        assert!(snapshot.apply(vec![guest(100, "pve01", 0.1)]));
        assert_eq!(types(&messages(&mut cursor, &snapshot)), ["full"]);
        assert!(!snapshot.apply(vec![guest(100, "pve01", 0.1)]));
        assert!(snapshot.apply(vec![guest(100, "pve02", 0.1)]));
        let moved = messages(&mut cursor, &snapshot);
        assert_eq!(moved[0]["changes"]["100"]["node"], "pve02");
        assert_eq!(moved[0]["changes"]["100"]["type"], "changed");
        assert_eq!(moved[0]["changes"]["100"]["guest_type"], "qemu");
    }

    #[test]
    fn a_client_gets_a_diff_if_one_version_behind_and_a_full_message_otherwise() {
        let mut snapshot = Snapshot::default();
        let (mut quick, mut slow) = (ClientCursor::default(), ClientCursor::default());
        snapshot.apply(vec![guest(100, "pve01", 0.1)]);
        assert_eq!(types(&messages(&mut quick, &snapshot)), ["full"]);
        assert_eq!(types(&messages(&mut slow, &snapshot)), ["full"]);
        snapshot.apply(vec![guest(100, "pve01", 0.5)]);
        assert_eq!(types(&messages(&mut quick, &snapshot)), ["diff"]);
        snapshot.apply(vec![guest(100, "pve01", 0.9), guest(99, "pve01", 0.0)]);
        assert_eq!(types(&messages(&mut quick, &snapshot)), ["diff"]);
        let resync = messages(&mut slow, &snapshot);
        assert_eq!(types(&resync), ["full"]);
        assert_eq!(resync[0]["vms"][0]["vmid"], 99);
        assert_eq!(resync[0]["vms"][1]["cpu"], 90.0);
    }

    #[test]
    fn an_outage_and_its_end_are_sent_once() {
        let (mut snapshot, mut cursor) = (Snapshot::default(), ClientCursor::default());
        assert!(snapshot.mark_stale("2026-01-01T00:00:00Z", "first"));
        assert_eq!(types(&messages(&mut cursor, &snapshot)), ["stale"]);
        assert!(!snapshot.mark_stale("2026-01-01T00:00:00Z", "second"));
        assert!(messages(&mut cursor, &snapshot).is_empty());
        assert!(snapshot.apply(vec![]));
        assert_eq!(types(&messages(&mut cursor, &snapshot)), ["full"]);
        // A second outage is sent even to a client that has not received the end of the first.
        let mut slow = cursor.clone();
        assert!(snapshot.mark_stale("2026-01-01T00:00:01Z", "third"));
        assert_eq!(types(&messages(&mut slow, &snapshot)), ["stale"]);
        assert!(snapshot.apply(vec![]));
        assert!(snapshot.mark_stale("2026-01-01T00:00:02Z", "fourth"));
        assert_eq!(types(&messages(&mut slow, &snapshot)), ["diff", "stale"]);
        assert_eq!(types(&messages(&mut cursor, &snapshot)), ["diff", "stale"]);
    }
}
