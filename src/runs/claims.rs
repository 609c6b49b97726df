//! Claims: what a run may change, and which runs therefore cannot run at the same time.

use std::collections::HashMap;
use std::fmt;

use uuid::Uuid;

/// Something that only one run at a time may change.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// An index of claims and the runs that hold them. A request can name a thousand guests, so each
/// claim is found by a hash lookup.
#[derive(Debug, Default)]
pub struct Claimed<'a> {
    guests: HashMap<(&'a str, &'a str), Uuid>,
    /// By node and group: a run that claims a guest of that group.
    guests_of_group: HashMap<(&'a str, &'a str), Uuid>,
    groups: HashMap<(&'a str, &'a str), Uuid>,
    hosts: HashMap<(Option<&'a str>, Option<&'a str>), Uuid>,
    others: HashMap<&'a str, Uuid>,
    /// By playbook: a run that claims any host.
    any_host: HashMap<Option<&'a str>, Uuid>,
    /// By node: a run that claims any group.
    any_group: HashMap<&'a str, Uuid>,
    /// By node: a run that claims a guest without a known group.
    any_guest: HashMap<&'a str, Uuid>,
}

impl<'a> Claimed<'a> {
    /// Adds the claims of `run`.
    pub fn add(&mut self, run: Uuid, claims: &'a [Claim]) {
        for claim in claims {
            match claim {
                Claim::Guest { node, id, group } => {
                    self.guests.entry((node, id)).or_insert(run);
                    match group {
                        Some(group) => {
                            self.guests_of_group.entry((node, group)).or_insert(run);
                        }
                        None => {
                            self.any_guest.entry(node).or_insert(run);
                        }
                    }
                }
                Claim::Group { node, name } => {
                    self.groups.entry((node, name)).or_insert(run);
                    self.any_group.entry(node).or_insert(run);
                }
                Claim::Host { playbook, name } => {
                    let playbook = playbook.as_deref();
                    self.hosts.entry((playbook, name.as_deref())).or_insert(run);
                    self.any_host.entry(playbook).or_insert(run);
                }
                Claim::Other(description) => {
                    self.others.entry(description).or_insert(run);
                }
            }
        }
    }

    /// Returns the first of `claims` that conflicts with an added one, and the run that holds that.
    pub fn conflict<'c>(&self, claims: &'c [Claim]) -> Option<(&'c Claim, Uuid)> {
        claims.iter().find_map(|claim| Some((claim, self.holder(claim)?)))
    }

    fn holder(&self, claim: &Claim) -> Option<Uuid> {
        let holder = match claim {
            Claim::Guest { node, id, group } => {
                self.guests.get(&(node.as_str(), id.as_str())).or_else(|| match group {
                    None => self.any_group.get(node.as_str()),
                    Some(name) => self.groups.get(&(node.as_str(), name.as_str())),
                })
            }
            Claim::Group { node, name } => {
                let of_group = (node.as_str(), name.as_str());
                self.groups
                    .get(&of_group)
                    .or_else(|| self.guests_of_group.get(&of_group))
                    .or_else(|| self.any_guest.get(node.as_str()))
            }
            Claim::Host { playbook, name: None } => self.any_host.get(&playbook.as_deref()),
            Claim::Host { playbook, name } => {
                let playbook = playbook.as_deref();
                let any = || self.hosts.get(&(playbook, None));
                self.hosts.get(&(playbook, name.as_deref())).or_else(any)
            }
            Claim::Other(description) => self.others.get(description.as_str()),
        };
        holder.copied()
    }
}

#[cfg(test)]
mod tests {
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
        for (one, other, conflict) in pairs {
            for (first, second) in [(&one, &other), (&other, &one)] {
                let (run, first) = (Uuid::now_v7(), [first.clone()]);
                let mut claimed = Claimed::default();
                claimed.add(run, &first);
                let second = [second.clone()];
                let found = claimed.conflict(&second);
                assert_eq!(found, conflict.then_some((&second[0], run)), "{first:?} {second:?}");
            }
        }
    }
}
