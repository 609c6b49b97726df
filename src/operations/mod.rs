//! The operations: what each reads, does, changes and answers.
//!
//! One file for each domain holds the types of its requests, the types of its results and its
//! rows. Everything else is made from the rows: the router, the published document, the list of
//! routes, the gateway's configuration, the curl scripts.

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
    /// Everything that is not a deletion, readings included.
    Post,
    /// A deletion. It carries a body too.
    Delete,
}

/// One of the operations: everything that routing, checking, running, answering and
/// documenting it needs.
#[derive(Debug)]
pub struct Operation {
    /// The HTTP method.
    pub method: Method,
    /// The path, with `{name}` for a path parameter.
    pub path: &'static str,
    /// The group it is listed under in the docs.
    pub tag: &'static Tag,
    /// One line for the docs.
    pub summary: &'static str,
    /// The body; none where any body is ignored.
    pub request: Option<RequestType>,
    /// Members of its example that differ from the example of the body's type.
    pub example: Map<String, Value>,
    /// What it answers.
    pub answer: Answer,
    /// What it does.
    pub work: Work,
    /// What it changes.
    pub effect: Effect,
    /// Whether an equal request joins the active run instead of starting another.
    pub joins: bool,
    /// The privileges of Proxmox VE that the API token needs for it.
    pub privileges: &'static [&'static str],
}

/// What an operation answers when its playbook succeeds.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// `rc` and the lines of the log, whatever `as_json` says.
    Log,
    /// `rc` and `result`, the values that the playbook reported under the action's name, or
    /// the log where `as_json` is false.
    Result {
        /// The action, which is the key in the job events.
        action: &'static str,
        /// The name of the schema of one entry of `result`.
        name: fn() -> String,
        /// That schema and those it refers to.
        schemas: fn(&mut Vec<(String, RefOr<Schema>)>),
        /// Whether one entry is a list of these.
        list: bool,
    },
    /// The guest that was looked up.
    Guest,
}

impl Answer {
    /// The answer of `action`: one `T` for each event, or a list of `T`.
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
    /// One playbook.
    Playbook(PlaybookWork),
    /// `init.yml` once for each VM of the request, with its key as the tag, then `main.yml`.
    CreateVms {
        /// The folder of both playbooks, below `bundles/`.
        folder: &'static str,
        /// The keys that the request must have, each once.
        keys: &'static [&'static str],
    },
    /// Only the look-up of a VM's name.
    LookUp {
        /// The VM.
        vm_id: &'static str,
    },
}

/// One playbook, its limit and its variables.
#[derive(Debug)]
pub struct PlaybookWork {
    /// Where the playbook is looked up.
    pub root: Root,
    /// Which one it is.
    pub file: PlaybookFile,
    /// What becomes of `--limit`.
    pub limit: Limit,
    /// Variables that the operation sets itself.
    pub fixed: Vec<(&'static str, &'static str)>,
    /// What must be found out before.
    pub look_up: LookUp,
}

/// Which playbook of a root.
#[derive(Debug, Clone, Copy)]
pub enum PlaybookFile {
    /// Always the same, below the root's folder.
    Fixed(&'static str),
    /// `main.yml` of the one that the path names.
    Named,
}

/// `--limit`.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    /// The inventory's group of Proxmox hosts.
    Proxmox,
    /// The request's `proxmox_node`.
    Node,
    /// The request's `hosts`; null leaves the option out.
    Hosts,
}

/// Whether a VM is looked up before the playbook is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookUp {
    /// No.
    No,
    /// The VM must be there.
    MustExist,
    /// The VM must be there, and its name becomes `vm_name`.
    Name,
}

impl Operation {
    /// The stable name: the method and the path without what all have in common.
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

    /// The row with an example in which these members have other values.
    pub fn example(mut self, members: Value) -> Self {
        match members {
            Value::Object(members) => self.example = members,
            other => panic!("{}: an example is an object, not {other}", self.id()),
        }
        self
    }

    /// A body that works on a fresh demo.
    pub fn example_body(&self) -> Option<Map<String, Value>> {
        let mut body = (self.request.as_ref()?.example)();
        body.extend(self.example.clone());
        Some(body)
    }
}
