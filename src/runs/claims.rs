//! Claims: what a run may change, and which runs therefore cannot run at the same time.
//!
//! Each claim is one or two [`ClaimKey`]s, so that a conflict is found by hash lookups, whatever the
//! number of guests in a request:
//!
//! | claim | keys |
//! | --- | --- |
//! | guest without a known group | `guest:NODE:ID` X, `groups:NODE` A |
//! | guest of group g | `guest:NODE:ID` X, `group:NODE:g` A |
//! | group g | `group:NODE:g` X, `groups:NODE` B |
//! | host h of a playbook | `host:PLAYBOOK:h` X, `hosts:PLAYBOOK` A |
//! | any host of a playbook | `hosts:PLAYBOOK` X |
//! | anything else | `other:DESCRIPTION` X |

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Something that only one run at a time may change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// A guest.
    Guest {
        /// The node of the guest.
        node: String,
        /// The id of the guest.
        id: String,
        /// The group of the guest. A guest without one may belong to any group.
        group: Option<String>,
    },
    /// All guests of a group. Only the playbook knows which guests these are.
    Group {
        /// The node of the guests.
        node: String,
        /// The name of the group.
        name: String,
    },
    /// A host of the inventory.
    Host {
        /// The bundle or scenario that claims the host only against other runs of itself. `None`
        /// claims it against all runs that claim it so.
        playbook: Option<String>,
        /// The name of the host, or `None` for any host.
        name: Option<String>,
    },
    /// Anything else, identified by its description.
    Other(String),
}

/// A key that a claim holds. Two runs conflict if they hold the same key, unless both hold it in
/// mode A or both in mode B.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimKey {
    /// The key.
    pub key: String,
    /// The mode.
    pub mode: Mode,
}

/// The mode in which a run holds a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// Exclusive: conflicts with every mode.
    X,
    /// Conflicts with X and B.
    A,
    /// Conflicts with X and A.
    B,
}

impl Mode {
    const ALL: [Self; 3] = [Self::X, Self::A, Self::B];

    fn conflicts_with(self, other: Self) -> bool {
        self == Self::X || self != other
    }
}

impl Claim {
    /// The keys that the claim holds.
    pub fn keys(&self) -> Vec<ClaimKey> {
        let key = |key: String, mode| ClaimKey { key, mode };
        match self {
            Self::Guest { node, id, group: None } => {
                vec![
                    key(format!("guest:{node}:{id}"), Mode::X),
                    key(format!("groups:{node}"), Mode::A),
                ]
            }
            Self::Guest { node, id, group: Some(group) } => vec![
                key(format!("guest:{node}:{id}"), Mode::X),
                key(format!("group:{node}:{group}"), Mode::A),
            ],
            Self::Group { node, name } => vec![
                key(format!("group:{node}:{name}"), Mode::X),
                key(format!("groups:{node}"), Mode::B),
            ],
            Self::Host { playbook, name } => {
                let playbook = playbook.as_deref().unwrap_or_default();
                match name {
                    Some(name) => vec![
                        key(format!("host:{playbook}:{name}"), Mode::X),
                        key(format!("hosts:{playbook}"), Mode::A),
                    ],
                    None => vec![key(format!("hosts:{playbook}"), Mode::X)],
                }
            }
            Self::Other(description) => vec![key(format!("other:{description}"), Mode::X)],
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guest { node, id, .. } => write!(f, "guest {id} of node {node}"),
            Self::Group { node, name } => write!(f, "the {name} guests of node {node}"),
            Self::Host { playbook, name } => {
                match name {
                    Some(name) => write!(f, "host {name}"),
                    None => f.write_str("all hosts"),
                }?;
                playbook.iter().try_for_each(|playbook| write!(f, " with {playbook}"))
            }
            Self::Other(description) => f.write_str(description),
        }
    }
}

/// Whether runs with these claims conflict.
pub fn conflict(one: &[Claim], other: &[Claim]) -> bool {
    let mut index = ClaimIndex::default();
    one.iter().for_each(|claim| index.add(0, Uuid::nil(), &claim.keys()));
    other.iter().flat_map(Claim::keys).any(|key| index.ahead_of(1, &key).is_some())
}

/// The keys that runs hold or wait for, and the order of these runs.
#[derive(Debug, Default)]
pub struct ClaimIndex {
    by_key: HashMap<String, [BTreeMap<u64, Uuid>; 3]>,
}

impl ClaimIndex {
    /// Adds the keys of a run with this order number.
    pub fn add(&mut self, order: u64, run: Uuid, keys: &[ClaimKey]) {
        for ClaimKey { key, mode } in keys {
            let holders = match self.by_key.get_mut(key) {
                Some(holders) => holders,
                None => self.by_key.entry(key.clone()).or_default(),
            };
            holders[*mode as usize].insert(order, run);
        }
    }

    /// Removes the keys of the run with this order number.
    pub fn remove(&mut self, order: u64, keys: &[ClaimKey]) {
        for ClaimKey { key, mode } in keys {
            let Some(holders) = self.by_key.get_mut(key) else { continue };
            holders[*mode as usize].remove(&order);
            if holders.iter().all(BTreeMap::is_empty) {
                self.by_key.remove(key);
            }
        }
    }

    /// The first run ahead of `order` that holds `key` in a conflicting mode.
    pub fn ahead_of(&self, order: u64, key: &ClaimKey) -> Option<Uuid> {
        let firsts = self.conflicting(key).filter_map(|runs| runs.first_key_value());
        let (first, run) = firsts.min()?;
        (*first < order).then_some(*run)
    }

    /// All runs that hold `key` in a conflicting mode.
    pub fn holders(&self, key: &ClaimKey) -> impl Iterator<Item = Uuid> {
        self.conflicting(key).flat_map(|runs| runs.values().copied())
    }

    fn conflicting(&self, key: &ClaimKey) -> impl Iterator<Item = &BTreeMap<u64, Uuid>> {
        let mode = key.mode;
        let holders = self.by_key.get(&key.key).into_iter();
        holders.flat_map(move |holders| {
            let modes = Mode::ALL.into_iter().filter(move |held| held.conflicts_with(mode));
            modes.map(|held| &holders[held as usize])
        })
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    fn guest(id: &str, group: Option<&str>) -> Claim {
        let group = group.map(str::to_owned);
        Claim::Guest { node: "px".to_owned(), id: id.to_owned(), group }
    }

    fn group(name: &str) -> Claim {
        Claim::Group { node: "px".to_owned(), name: name.to_owned() }
    }

    fn host(playbook: Option<&str>, name: Option<&str>) -> Claim {
        Claim::Host { playbook: playbook.map(str::to_owned), name: name.map(str::to_owned) }
    }

    #[test]
    fn host_claims_conflict_by_host_and_playbook() {
        let lab = Some("bundle core/lab");
        assert_conflicts([
            (host(None, Some("web")), host(None, Some("web")), true),
            (host(None, Some("web")), host(None, Some("db")), false),
            (host(None, None), host(None, Some("db")), true),
            (host(None, None), host(None, None), true),
            (host(lab, None), host(None, None), false),
            (host(lab, None), host(lab, Some("web")), true),
            (host(lab, None), host(Some("bundle core/other"), None), false),
            (host(lab, Some("web")), guest("web", None), false),
        ]);
    }

    #[test]
    fn a_guest_without_a_group_conflicts_with_every_group() {
        let elsewhere = Claim::Guest { node: "py".to_owned(), id: "1".to_owned(), group: None };
        assert_conflicts([
            (guest("1", None), guest("1", None), true),
            (guest("1", None), guest("1", Some("admin")), true),
            (guest("1", None), guest("2", None), false),
            (guest("1", None), elsewhere.clone(), false),
            (guest("1", None), group("admin"), true),
            (guest("1", Some("admin")), group("admin"), true),
            (guest("1", Some("admin")), group("student"), false),
            (elsewhere, group("admin"), false),
            (group("admin"), group("admin"), true),
            (group("admin"), group("student"), false),
            (Claim::Other("node px".to_owned()), Claim::Other("node px".to_owned()), true),
            (Claim::Other("node px".to_owned()), guest("1", None), false),
        ]);
    }

    fn assert_conflicts(pairs: impl IntoIterator<Item = (Claim, Claim, bool)>) {
        for (one, other, expected) in pairs {
            for (first, second) in [(&one, &other), (&other, &one)] {
                let found = conflict(from_ref(first), from_ref(second));
                assert_eq!(found, expected, "{first:?} {second:?}");
            }
        }
    }
}
