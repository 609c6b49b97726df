//! The interface of all request types.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::values::{NodeName, VmId};

/// The members of a request that planning, claims, joining and redaction use. Request types
/// implement it with the macro `request!`, so that no other code looks up members by name.
pub trait Request: Variables + Send + Sync {
    /// The node that the request names.
    fn node(&self) -> Option<&str> {
        None
    }

    /// The ids of the guests that the request names, in decimal. The copy of a clone is last.
    fn guests(&self) -> Vec<String> {
        Vec::new()
    }

    /// The pattern of the hosts to run on. `None` means the hosts of the playbook.
    fn hosts(&self) -> Option<&str> {
        None
    }

    /// The Proxmox API host that the request names. Empty means the one of the inventory.
    fn api_host(&self) -> &str {
        ""
    }

    /// The guests to create, with their keys.
    fn new_guests(&self) -> Vec<(&str, &dyn Variables)> {
        Vec::new()
    }

    /// The values of the members that are secret.
    fn secrets(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Whether the response contains the result instead of the log.
    fn as_json(&self) -> bool {
        true
    }
}

/// A type that can be converted to the extra variables of a playbook.
pub trait Variables {
    /// The extra variables, under the names that the playbook uses. Members that are null are
    /// omitted, so that the playbook's defaults apply.
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

/// The request of an operation without a body.
impl Request for () {}

/// Implements [`Request`] for a request type: maps each method to the member that it returns.
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

/// A parsed request, or the reason why the members do not match its type.
pub type Parsed = serde_json::Result<Box<dyn Request>>;

/// A type-erased request type, so that the rows of one table can have different request types.
#[derive(Debug, Clone, Copy)]
pub struct RequestType {
    /// The name of its schema.
    pub name: fn() -> String,
    /// Adds its schema and the schemas that it references.
    pub schemas: fn(&mut Vec<(String, RefOr<Schema>)>),
    /// The example in its schema.
    pub example: fn() -> Map<String, Value>,
    /// Parses the members of a validated body.
    pub parse: fn(Map<String, Value>) -> Parsed,
}

impl RequestType {
    /// Erases the type `T`.
    pub fn of<T: Request + DeserializeOwned + ToSchema + 'static>() -> Self {
        Self {
            name: || T::name().into_owned(),
            schemas: schemas::<T>,
            example: example::<T>,
            parse: |members| Ok(Box::new(serde_json::from_value::<T>(Value::Object(members))?)),
        }
    }
}

/// Adds the schema of `T` and the schemas that it references.
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
pub(super) fn default_true() -> bool {
    true
}

/// For `skip_serializing_if`: the member is not passed to the playbook as a variable.
pub(super) fn not_a_variable<T>(_: &T) -> bool {
    true
}

/// A request about a node.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"proxmox_node": "px-testing"}))]
pub struct NodeRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Whether to return the result (true) or the lines of the log (false).
    #[serde(default = "default_true", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
}

/// A request about one guest.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"proxmox_node": "px-testing", "vm_id": "1000"}))]
pub struct GuestRequest {
    /// The node.
    pub proxmox_node: NodeName,
    /// Whether to return the result (true) or the lines of the log (false).
    #[serde(default = "default_true", skip_serializing_if = "not_a_variable")]
    #[schema(default = true)]
    pub as_json: bool,
    /// The guest.
    pub vm_id: VmId,
}

request!(NodeRequest { node: proxmox_node, as_json: as_json });
request!(GuestRequest { node: proxmox_node, as_json: as_json, guest: vm_id });
