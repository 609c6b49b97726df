//! Which hosts a group of the inventory has, as far as `hosts.yml` says.
//!
//! Ansible itself would tell, but takes a second to. What this is for, knowing which runs get
//! in each other's way, can do with less, and says where it does not know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use yaml_serde::Value;

use crate::inventory;
use crate::inventory::InventoryError;

/// The groups of an inventory.
#[derive(Debug, Default)]
pub struct Groups {
    groups: BTreeMap<String, Group>,
}

/// A group can be described in several places, which add up.
#[derive(Debug, Default)]
struct Group {
    hosts: BTreeSet<String>,
    children: BTreeSet<String>,
}

impl Groups {
    /// Reads the `hosts.yml` of an inventory dir.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is not YAML.
    pub fn read(inventory_dir: &Path) -> Result<Self, InventoryError> {
        let mut groups = Self::default();
        groups.add_all(&inventory::hosts_file(inventory_dir)?);
        Ok(groups)
    }

    /// The hosts of a group, or the name itself where no group has it, or one whose hosts are
    /// said elsewhere. None: it may be any host, as of Ansible's own groups and of one with a
    /// range of hosts.
    pub fn hosts(&self, name: &str) -> Option<BTreeSet<String>> {
        if name == "all" || name == "ungrouped" {
            return None;
        }
        let (mut hosts, mut seen, mut left) = (BTreeSet::new(), BTreeSet::new(), vec![name]);
        while let Some(name) = left.pop() {
            let Some(group) = self.groups.get(name) else {
                hosts.insert(name.to_owned());
                continue;
            };
            // Ansible refuses a group that is a child of its own; here it only must not hang.
            if seen.insert(name) {
                hosts.extend(group.hosts.iter().cloned());
                left.extend(group.children.iter().map(String::as_str));
            }
        }
        if hosts.is_empty() {
            hosts.insert(name.to_owned());
        }
        (!hosts.iter().any(|host| host.contains('['))).then_some(hosts)
    }

    fn add_all(&mut self, groups: &Value) {
        for (name, value) in groups.as_mapping().into_iter().flatten() {
            let Some(name) = name.as_str() else { continue };
            let group = self.groups.entry(name.to_owned()).or_default();
            group.hosts.extend(keys(value.get("hosts")));
            if let Some(children) = value.get("children") {
                group.children.extend(keys(Some(children)));
                self.add_all(children);
            }
        }
    }
}

fn keys(mapping: Option<&Value>) -> impl Iterator<Item = String> {
    let members = mapping.and_then(Value::as_mapping).into_iter().flatten();
    members.filter_map(|(name, _)| name.as_str().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(name: &str) -> Option<Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        let text = "
all:
  hosts: {lone: }
  children:
    lab: {children: {web: , db: {hosts: {db-1: }}}}
    web: {hosts: {web-1: {ansible_port: 22}, web-2: }}
    many: {hosts: {'box[01:40]': }}
    elsewhere: {vars: {ansible_port: 2222}}
    ring: {children: {round: {children: {ring: }}}, hosts: {one: }}
";
        std::fs::write(dir.path().join("hosts.yml"), text).unwrap();
        let hosts = Groups::read(dir.path()).unwrap().hosts(name)?;
        Some(hosts.into_iter().collect())
    }

    #[test]
    fn a_group_is_its_hosts_and_those_of_its_children() {
        let known = |names: &[&str]| Some(names.iter().map(|n| (*n).to_owned()).collect());
        assert_eq!(hosts("web"), known(&["web-1", "web-2"]));
        assert_eq!(hosts("lab"), known(&["db-1", "web-1", "web-2"]));
        assert_eq!(hosts("web-1"), known(&["web-1"]));
        assert_eq!(hosts("elsewhere"), known(&["elsewhere"]));
        assert_eq!(hosts("ring"), known(&["one"]));
        assert_eq!(hosts("unheard-of"), known(&["unheard-of"]));
        assert_eq!(hosts("all"), None);
        assert_eq!(hosts("ungrouped"), None);
        assert_eq!(hosts("many"), None);
    }
}
