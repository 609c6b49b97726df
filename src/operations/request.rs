//! What the rest of the service asks of a request, whatever its type.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::values::{NodeName, VmId};

/// What planning, claims, joining and redaction ask of a request. Each type of request answers
/// through the macro `request!`; nothing looks up members by their names.
pub trait Request: Variables + Send + Sync {
    /// The node that it is about.
    fn node(&self) -> Option<&str> {
        None
    }

    /// The ids of the guests that it names, in decimal; the copy of a clone is the last.
    fn guests(&self) -> Vec<String> {
        Vec::new()
    }

    /// The hosts that it runs on; none where the playbook decides.
    fn hosts(&self) -> Option<&str> {
        None
    }

    /// The Proxmox API that the client chose; empty where the inventory decides.
    fn api_host(&self) -> &str {
        ""
    }

    /// The guests that are to be made, by their keys.
    fn new_guests(&self) -> Vec<(&str, &dyn Variables)> {
        Vec::new()
    }

    /// The secrets among its members.
    fn secrets(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Whether the result is to be answered rather than the log.
    fn as_json(&self) -> bool {
        true
    }
}

/// What becomes extra variables of a playbook.
pub trait Variables {
    /// The members that are variables, under the names that the playbook knows. A member that is
    /// null is left out, so that the playbook's own default counts.
    fn extra_vars(&self) -> Map<String, Value>;
}

impl<T: Serialize> Variables for T {
    fn extra_vars(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(mut members)) => {
                members.retain(|_, value| !value.is_null());
                members
            }
            _ => Map::new(),
        }
    }
}

/// An operation without a body.
impl Request for () {}

/// Says which members of a type of request answer the questions of [`Request`].
macro_rules! request {
    ($type:ident { $($question:ident: $member:ident),* }) => {
        impl $crate::operations::request::Request for $type {
            $($crate::operations::request::request!(@ $question $member);)*
        }
    };
    (@ node $member:ident) => {
        fn node(&self) -> Option<&str> {
            Some(self.$member.as_str())
        }
    };
    (@ as_json $member:ident) => {
        fn as_json(&self) -> bool {
            self.$member
        }
    };
    (@ guest $member:ident) => {
        fn guests(&self) -> Vec<String> {
            vec![self.$member.number().to_string()]
        }
    };
    (@ guest_and_copy $member:ident) => {
        fn guests(&self) -> Vec<String> {
            vec![self.$member.number().to_string(), self.vm_new_id.number().to_string()]
        }
    };
    (@ guests $member:ident) => {
        fn guests(&self) -> Vec<String> {
            self.$member.iter().map(|id| id.number().to_string()).collect()
        }
    };
    (@ named_guests $member:ident) => {
        fn guests(&self) -> Vec<String> {
            self.$member.iter().map(|guest| guest.id.number().to_string()).collect()
        }
    };
    (@ new_guests $member:ident) => {
        fn guests(&self) -> Vec<String> {
            self.$member.values().map(|guest| guest.vm_id.to_string()).collect()
        }

        fn new_guests(&self) -> Vec<(&str, &dyn $crate::operations::request::Variables)> {
            let guests = self.$member.iter();
            guests.map(|(key, guest)| (key.as_str(), guest as &dyn $crate::operations::request::Variables)).collect()
        }
    };
    (@ hosts $member:ident) => {
        fn hosts(&self) -> Option<&str> {
            Some(self.$member.as_str())
        }
    };
    (@ optional_hosts $member:ident) => {
        fn hosts(&self) -> Option<&str> {
            self.$member.as_ref().map(|hosts| hosts.as_str())
        }
    };
    (@ api_host $member:ident) => {
        fn api_host(&self) -> &str {
            self.$member.as_str()
        }
    };
    (@ secret $member:ident) => {
        fn secrets(&self) -> Vec<&str> {
            vec![self.$member.as_str()]
        }
    };
}

pub(crate) use request;

/// A request, or why the members do not fit its type.
pub type Parsed = serde_json::Result<Box<dyn Request>>;

/// A type of request without its Rust type, so that rows of different types fit in one table.
#[derive(Debug, Clone, Copy)]
pub struct RequestType {
    /// The name of its schema.
    pub name: fn() -> String,
    /// Its schema and those it refers to.
    pub schemas: fn(&mut Vec<(String, RefOr<Schema>)>),
    /// The example in its schema.
    pub example: fn() -> Map<String, Value>,
    /// Reads it from the members of a checked body.
    pub parse: fn(Map<String, Value>) -> Parsed,
}

impl RequestType {
    /// The type `T`.
    pub fn of<T: Request + DeserializeOwned + ToSchema + 'static>() -> Self {
        Self {
            name: || T::name().into_owned(),
            schemas: schemas::<T>,
            example: example::<T>,
            parse: |members| Ok(Box::new(serde_json::from_value::<T>(Value::Object(members))?)),
        }
    }
}

/// Adds the schema of `T` and those it refers to.
pub fn schemas<T: ToSchema>(all: &mut Vec<(String, RefOr<Schema>)>) {
    all.push((T::name().into_owned(), <T as PartialSchema>::schema()));
    T::schemas(all);
}

fn example<T: PartialSchema>() -> Map<String, Value> {
    match serde_json::to_value(T::schema()).unwrap_or_default()["example"].take() {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// The default of `as_json` in most operations.
pub(super) fn yes() -> bool {
    true
}

/// For `skip_serializing_if`: the playbook does not get the member as a variable.
pub(super) fn not_a_variable<T>(_: &T) -> bool {
    true
}

/// A request about a node.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"proxmox_node": "px-testing"}))]
pub struct NodeRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Answer the result (true) or the lines of the log (false).
    #[serde(default = "yes", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
}

/// A request about one guest.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"proxmox_node": "px-testing", "vm_id": "1000"}))]
pub struct GuestRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Answer the result (true) or the lines of the log (false).
    #[serde(default = "yes", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The guest.
    pub vm_id: VmId,
}

request!(NodeRequest { node: proxmox_node, as_json: as_json });
request!(GuestRequest { node: proxmox_node, as_json: as_json, guest: vm_id });
