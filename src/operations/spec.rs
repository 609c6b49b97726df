//! Building blocks for the rows of the operations table.

use serde::de::DeserializeOwned;
use serde_json::Map;
use utoipa::ToSchema;

use super::effect::Effect;
use super::request::{Request, RequestType};
use super::tags::Tag;
use super::{Answer, Limit, LookUp, Method, Operation, PlaybookFile, PlaybookWork, Work};
use crate::ansible::playbooks::Root;

/// The part of a row that defines the request type, the work, the effect and the response.
pub struct OperationSpec {
    request: Option<RequestType>,
    answer: Answer,
    work: Work,
    effect: Effect,
    joins: bool,
    privileges: &'static [&'static str],
}

impl OperationSpec {
    /// Looks up the guest first: it must exist, and its name becomes the variable `vm_name`.
    pub(super) fn named(self) -> Self {
        self.with_look_up(LookUp::Name)
    }

    /// Looks up the guest first: it must exist.
    pub(super) fn existing(self) -> Self {
        self.with_look_up(LookUp::MustExist)
    }

    /// Sets a variable to a fixed value.
    pub(super) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        if let Work::Playbook(work) = &mut self.work {
            work.fixed.push((name, value));
        }
        self
    }

    fn with_look_up(mut self, look_up: LookUp) -> Self {
        if let Work::Playbook(work) = &mut self.work {
            work.look_up = look_up;
        }
        self
    }
}

/// A row for `POST`.
pub(super) fn post(
    path: &'static str,
    tag: &'static Tag,
    summary: &'static str,
    spec: OperationSpec,
) -> Operation {
    row(Method::Post, path, tag, summary, spec)
}

/// A row for `DELETE`. Gateways repeat such requests after a timeout, so equal ones join.
pub(super) fn delete(
    path: &'static str,
    tag: &'static Tag,
    summary: &'static str,
    spec: OperationSpec,
) -> Operation {
    row(Method::Delete, path, tag, summary, OperationSpec { joins: true, ..spec })
}

fn row(
    method: Method,
    path: &'static str,
    tag: &'static Tag,
    summary: &'static str,
    spec: OperationSpec,
) -> Operation {
    let OperationSpec { request, answer, work, effect, joins, privileges } = spec;
    Operation {
        method,
        path,
        tag,
        summary,
        request,
        example: Map::new(),
        answer,
        work,
        effect,
        joins,
        privileges,
    }
}

/// A response whose `result` contains one `T` for each event.
pub(super) fn one<T: ToSchema>(action: &'static str) -> Answer {
    Answer::result::<T>(action, false)
}

/// A response whose `result` contains a list of `T`.
pub(super) fn many<T: ToSchema>(action: &'static str) -> Answer {
    Answer::result::<T>(action, true)
}

/// An action of the Proxmox role, through `playbooks/generic.yml`.
///
/// `privileges` are the Proxmox VE privileges that the API token needs, from the "Check" field of
/// each request in the PVE API viewer.
pub(super) fn action<T: Request + DeserializeOwned + ToSchema + 'static>(
    answer: Answer,
    effect: Effect,
    privileges: &'static [&'static str],
) -> OperationSpec {
    let fixed = match answer {
        Answer::Result { action, .. } => vec![("proxmox_vm_action", action), ("hosts", "proxmox")],
        Answer::Log | Answer::Guest => vec![],
    };
    let work = PlaybookWork {
        root: Root::Local,
        file: PlaybookFile::Fixed("generic.yml"),
        limit: Limit::Proxmox,
        fixed,
        look_up: LookUp::No,
    };
    let (request, work) = (Some(RequestType::of::<T>()), Work::Playbook(work));
    OperationSpec { request, answer, work, effect, joins: false, privileges }
}

/// A playbook on hosts of the inventory. The response is its log.
pub(super) fn playbook<T: Request + DeserializeOwned + ToSchema + 'static>(
    root: Root,
    file: PlaybookFile,
    effect: Effect,
) -> OperationSpec {
    let fixed = Vec::new();
    let work = PlaybookWork { root, file, limit: Limit::Hosts, fixed, look_up: LookUp::No };
    let (request, work) = (Some(RequestType::of::<T>()), Work::Playbook(work));
    // Bundles and scenarios are long, and clients that gave up on one send the request again.
    let joins = root != Root::Local;
    OperationSpec { request, answer: Answer::Log, work, effect, joins, privileges: &[] }
}

/// A bundle that runs actions of the Proxmox role.
pub(super) fn bundle<T: Request + DeserializeOwned + ToSchema + 'static>(
    file: &'static str,
    answer: Answer,
    effect: Effect,
    privileges: &'static [&'static str],
) -> OperationSpec {
    let work = PlaybookWork {
        root: Root::Bundles,
        file: PlaybookFile::Fixed(file),
        limit: Limit::Node,
        fixed: Vec::new(),
        look_up: LookUp::No,
    };
    let (request, work) = (Some(RequestType::of::<T>()), Work::Playbook(work));
    OperationSpec { request, answer, work, effect, joins: true, privileges }
}

/// The bundle that creates the guests of a group. The keys of the guests must be `keys`.
pub(super) fn create_vms<T: Request + DeserializeOwned + ToSchema + 'static>(
    folder: &'static str,
    keys: &'static [&'static str],
    effect: Effect,
    privileges: &'static [&'static str],
) -> OperationSpec {
    let (request, work) = (Some(RequestType::of::<T>()), Work::CreateVms { folder, keys });
    OperationSpec { request, answer: Answer::Log, work, effect, joins: true, privileges }
}

/// Only the look-up of a guest.
pub(super) fn self_test(vm_id: &'static str, privileges: &'static [&'static str]) -> OperationSpec {
    let work = Work::LookUp { vm_id };
    let (effect, joins) = (Effect::Reads, false);
    OperationSpec { request: None, answer: Answer::Guest, work, effect, joins, privileges }
}
