//! The operations, as a table: request, response, playbook and effect of each.
//!
//! Each domain has one file with its request types, its result types and its rows. Everything else
//! is derived from the rows: the router, the OpenAPI document, the list of routes, Kong's
//! configuration, and the curl scripts.

pub mod bundles;
pub mod claims;
pub mod debug;
pub mod effect;
pub mod firewall;
pub mod groups;
pub mod network;
pub mod plan;
pub mod request;
pub mod results;
pub mod snapshots;
mod spec;
pub mod storage;
pub mod tags;
pub mod values;
pub mod vm_config;
pub mod vms;

use std::sync::LazyLock;

use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

pub use effect::{Effect, Target};
pub use request::{Request, RequestType};
pub use spec::OperationSpec;

use crate::ansible::playbooks::Root;
use tags::Tag;

/// All operations, in the order in which they are listed and documented.
pub static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(|| {
    let domains = [
        debug::rows(),
        firewall::rows(),
        network::rows(),
        storage::rows(),
        vms::rows(),
        vm_config::rows(),
        snapshots::rows(),
        bundles::rows(),
        groups::rows(),
    ];
    domains.into_iter().flatten().collect()
});

/// The HTTP methods that operations use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// All operations except deletions, including those that only read.
    Post,
    /// Deletions. Like `POST`, these requests have a body.
    Delete,
}

/// An operation: everything that is needed to route, validate, run, answer and document it.
#[derive(Debug)]
pub struct Operation {
    /// The HTTP method.
    pub method: Method,
    /// The path, with path parameters as `{name}`.
    pub path: &'static str,
    /// The tag under which the documentation lists it.
    pub tag: &'static Tag,
    /// A one-line summary for the documentation.
    pub summary: &'static str,
    /// The type of the body. `None` if the body is ignored.
    pub request: Option<RequestType>,
    /// Members of the example that differ from the example of the request type.
    pub example: Map<String, Value>,
    /// The response.
    pub answer: Answer,
    /// The playbooks that it runs.
    pub work: Work,
    /// The resources that it changes.
    pub effect: Effect,
    /// Whether an equal request joins the active run instead of starting another.
    pub joins: bool,
    /// The Proxmox VE privileges that the API token needs.
    pub privileges: &'static [&'static str],
}

/// The response of an operation whose playbook has succeeded.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// `rc` and the log lines, regardless of `as_json`.
    Log,
    /// `rc` and `result`, which contains the values that the playbook reported for the action. If
    /// `as_json` is false, the log lines instead of `result`.
    Result {
        /// The action, which is also the key of the values in the job events.
        action: &'static str,
        /// The name of the schema of a reported value, or of its items if it is a list.
        name: fn() -> String,
        /// Adds this schema and the schemas that it references.
        schemas: fn(&mut Vec<(String, RefOr<Schema>)>),
        /// Whether each reported value is a list.
        list: bool,
    },
    /// The guest that the look-up found.
    Guest,
}

impl Answer {
    /// The result of `action` as response: one `T` or, if `list`, a list of `T` for each event.
    pub fn result<T: ToSchema>(action: &'static str, list: bool) -> Self {
        Self::Result {
            action,
            name: || T::name().into_owned(),
            schemas: request::schemas::<T>,
            list,
        }
    }
}

/// What an operation runs.
#[derive(Debug)]
pub enum Work {
    /// A single playbook.
    Playbook(PlaybookWork),
    /// `init.yml` once for each VM of the request, with the VM's key as the tag, then `main.yml`.
    CreateVms {
        /// The folder of both playbooks, relative to `bundles/`.
        folder: &'static str,
        /// The keys of the VMs. The request must contain each of them, and no others.
        keys: &'static [&'static str],
    },
    /// Only the look-up of a VM's name.
    LookUp {
        /// The id of the VM.
        vm_id: &'static str,
    },
}

/// A playbook, its limit and its variables.
#[derive(Debug)]
pub struct PlaybookWork {
    /// The root that contains the playbook.
    pub root: Root,
    /// The playbook within the root.
    pub file: PlaybookFile,
    /// The value of `--limit`.
    pub limit: Limit,
    /// Variables with fixed values.
    pub fixed: Vec<(&'static str, &'static str)>,
    /// Whether a VM is looked up before the playbook runs.
    pub look_up: LookUp,
}

/// The playbook within a root.
#[derive(Debug, Clone, Copy)]
pub enum PlaybookFile {
    /// A fixed path, relative to the root's folder.
    Fixed(&'static str),
    /// `main.yml` of the bundle or scenario that the path of the request names.
    Named,
}

/// The value of `--limit`.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    /// The inventory's group of Proxmox hosts.
    Proxmox,
    /// The request's `proxmox_node`.
    Node,
    /// The request's `hosts`. If it is null, the option is omitted.
    Hosts,
}

/// Whether a VM is looked up before the playbook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookUp {
    /// No VM is looked up.
    No,
    /// The VM must exist.
    MustExist,
    /// The VM must exist, and its name becomes the variable `vm_name`.
    Name,
}

impl Operation {
    /// The stable name: the method and the path, without the common prefix `/v0/admin/`.
    pub fn id(&self) -> String {
        let method = match self.method {
            Method::Post => "post",
            Method::Delete => "delete",
        };
        let path = self.path.trim_start_matches("/v0/admin/");
        let name: String = path
            .chars()
            .filter(|c| !matches!(c, '{' | '}'))
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        format!("{method}_{name}")
    }

    /// The name of the path parameter, if the path has one.
    pub fn path_parameter(&self) -> Option<&'static str> {
        Some(self.path.split_once('{')?.1.split_once('}')?.0)
    }

    /// Replaces the values of these members in the example.
    ///
    /// # Panics
    ///
    /// If `members` is not an object.
    pub fn example(mut self, members: Value) -> Self {
        match members {
            Value::Object(members) => self.example = members,
            other => panic!("{}: an example is an object, not {other}", self.id()),
        }
        self
    }

    /// A body that succeeds on a fresh demo. `None` if the operation has no body.
    pub fn example_body(&self) -> Option<Map<String, Value>> {
        let mut body = (self.request.as_ref()?.example)();
        body.extend(self.example.clone());
        Some(body)
    }
}
