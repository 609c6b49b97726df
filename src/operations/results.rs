//! The types of `result` that several domains share, and tests for all of them.
//!
//! The result types are only used for the OpenAPI document. The server returns results as the role
//! reported them, so clients also get members that are not declared here. Ids are text in some
//! results and integers in others, because clients depend on it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A task of Proxmox VE, that has succeeded.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "data": "UPID:px-testing:0001F3A2:0049B1C8:68C2F0A1:qmcreate:4200:root@pam!demo:",
}))]
pub struct RawTask {
    /// Its UPID, by which its log is found in Proxmox VE.
    pub data: String,
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde::de::DeserializeOwned;
    use serde_json::Value;

    use super::*;
    use crate::operations::firewall::{
        Alias, DatacenterFirewall, DeletedAlias, DeletedRule, GuestFirewall, NodeFirewall, Rule,
    };
    use crate::operations::network::{
        AddedGuestInterface, AddedNodeInterface, DeletedGuestInterface, DeletedNodeInterface,
        GuestInterface, NodeInterface,
    };
    use crate::operations::snapshots::{ChangedSnapshot, CreatedSnapshot, ListedSnapshot};
    use crate::operations::storage::{ContainerTemplate, DownloadedIso, IsoImage, Storage};
    use crate::operations::vm_config::{
        GuestCdrom, GuestConfig, GuestCpu, GuestRam, GuestTags, RawConfig,
    };
    use crate::operations::vms::{
        ClonedGuest, CreatedGuest, DeletedGuest, GuestMeta, GuestState, GuestUsage, ListedGuest,
    };

    /// The published example of `T` can be parsed as a `T`, and has no members that `T` lacks.
    fn check_example<T: ToSchema + Debug + Serialize + DeserializeOwned>() {
        let name = T::name();
        let schema = serde_json::to_value(T::schema()).unwrap();
        let example = schema["example"].clone();
        let read: T = serde_json::from_value(example.clone())
            .unwrap_or_else(|error| panic!("the example of {name}: {error}"));
        let written = serde_json::to_value(&read).unwrap();
        for (member, value) in example.as_object().unwrap() {
            assert_eq!(written.get(member), Some(value), "{name}.{member}");
        }
        for (member, property) in schema["properties"].as_object().unwrap() {
            assert!(described(property), "{name}.{member} is not described");
        }
    }

    fn described(property: &Value) -> bool {
        property["description"].as_str().is_some_and(|text| !text.is_empty())
    }

    macro_rules! examples_fit {
        ($($name:ident)+) => {
            #[test]
            fn examples_fit() {
                $(check_example::<$name>();)+
            }
        };
    }

    examples_fit! {
        AddedGuestInterface AddedNodeInterface Alias ChangedSnapshot ClonedGuest
        ContainerTemplate CreatedGuest CreatedSnapshot DatacenterFirewall DeletedAlias
        DeletedGuest DeletedGuestInterface DeletedNodeInterface DeletedRule DownloadedIso
        GuestCdrom GuestConfig GuestCpu GuestFirewall GuestInterface GuestMeta GuestRam
        GuestState GuestTags GuestUsage IsoImage ListedGuest ListedSnapshot NodeFirewall
        NodeInterface RawConfig RawTask Rule Storage
    }

    /// The name `GuestInterface` is already that of a request value.
    #[test]
    fn the_listed_interface_has_a_name_of_its_own() {
        assert_eq!(GuestInterface::name(), "ListedGuestInterface");
    }
}
