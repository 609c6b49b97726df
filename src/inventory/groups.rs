//! Resolves the groups in `hosts.yml` to hosts.
//!
//! Ansible itself takes about a second for this. The result is used to detect conflicts between
//! runs, which may be approximate as long as unknown hosts are reported as unknown.

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

/// A group, merged from all its definitions.
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
    /// Returns an error if the file cannot be read or is not YAML.
    ///
    /// # Blocking
    ///
    /// Reads a file.
    pub fn read(inventory_dir: &Path) -> Result<Self, InventoryError> {
        let mut groups = Self::default();
        groups.add_all(&inventory::hosts_file(inventory_dir)?);
        Ok(groups)
    }

    /// Returns the hosts of a group.
    ///
    /// Returns `name` itself if there is no such group or if its hosts are not listed in this
    /// file. Returns `None` if the hosts are unknown: for Ansible's built-in groups, and for
    /// groups with host ranges.
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
            // Ansible rejects cyclic groups. Here they must not cause an endless loop.
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
    fn a_group_contains_its_hosts_and_those_of_its_children() {
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
