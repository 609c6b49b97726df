//! The types of request members.
//!
//! The pattern and the bounds of a type are defined only here. They are published in the schema of
//! every member of the type, and [`crate::http::body`] validates requests against this schema.

use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// Declares a text type: its pattern, its maximum length in characters, and an example.
macro_rules! text {
    ($(#[doc = $doc:literal])+ $name:ident, $pattern:literal, $max:literal, $example:literal) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Whether the text is empty.
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(SchemaType::Type(Type::String))
                    .description(Some(concat!($($doc),+).trim()))
                    .pattern(Some($pattern))
                    .max_length(Some($max))
                    .examples([$example])
                    .into()
            }
        }

        impl ToSchema for $name {}
    };
}

/// Declares an id type: digits as text, or a JSON integer.
macro_rules! id {
    ($(#[doc = $doc:literal])+ $name:ident, $pattern:literal, $min:literal, $example:literal) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The id as it was sent.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The id as a number, without leading zeros.
            pub fn number(&self) -> u64 {
                self.0.parse().unwrap_or_default()
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(SchemaType::from_iter([Type::String, Type::Integer]))
                    .description(Some(concat!($($doc),+).trim()))
                    .pattern(Some($pattern))
                    .minimum(Some($min))
                    .maximum(Some(999_999_999))
                    .examples([$example])
                    .into()
            }
        }

        impl ToSchema for $name {}
    };
}

id! {
    /// The id of a guest, 100 to 999999999 (Proxmox VE's range), as text or as an integer.
    VmId, "^0*[1-9][0-9]{2,8}$", 100, "1000"
}
id! {
    /// An id in a list of guests, as text or as an integer. Ids below 100, which Proxmox VE
    /// itself refuses, pass here, as clients of the list operations rely on it.
    ListedVmId, "^0*[1-9][0-9]{0,8}$", 1, "1000"
}
text! {
    /// The name of a Proxmox VE node, which is also the name of its host in the inventory.
    NodeName, "^[A-Za-z0-9][A-Za-z0-9-]*$", 63, "px-testing"
}
text! {
    /// A host or group of the inventory.
    HostPattern, r"^[A-Za-z0-9._][A-Za-z0-9._-]*$", 253, "all"
}
text! {
    /// Hosts or groups of the inventory, joined by colons.
    TargetHosts, r"^[a-zA-Z0-9._:][a-zA-Z0-9._:-]*$", 253, "all"
}
text! {
    /// The Proxmox API host to use, one of those that the inventory names. Empty: the
    /// inventory's own.
    ApiHost, r"^[A-Za-z0-9\.:-]*$", 260, ""
}
text! {
    /// The name of a guest: letters, digits and dashes.
    GuestName, "^[A-Za-z0-9-]*$", 63, "student-box-01"
}
text! {
    /// The name of a guest in a list.
    ListedGuestName, "^[A-Za-z0-9-]+$", 63, "student-box-01"
}
text! {
    /// A description: letters, digits, blanks and `. , _ -`.
    GuestDescription, r"^[A-Za-z0-9\s.,_\-]*$", 8192, "a copy of the template"
}
text! {
    /// Text without control characters and without braces, which Ansible would read as a
    /// template.
    PlainText, r"^[^\x00-\x1f\x7f{}]*$", 200, "web server of team 1"
}
text! {
    /// An emulated CPU type of QEMU.
    CpuType, "^[A-Za-z0-9._-]+$", 64, "host"
}
text! {
    /// An ISO image as a Proxmox VE volume id.
    IsoVolume, r"^[A-Za-z0-9._-]+:iso/.+\.iso$", 255, "local:iso/debian-12.iso"
}
text! {
    /// Tags of a guest, separated by commas or blanks.
    TagList, "^[A-Za-z0-9_, -]+$", 1024, "student,web"
}
text! {
    /// The name of a snapshot.
    SnapshotName, "^[A-Za-z0-9_-]+$", 40, "before-exercise"
}
text! {
    /// The description of a snapshot: letters, digits, `_` and `-`.
    SnapshotDescription, "^[A-Za-z0-9_-]+$", 200, "clean-state"
}
text! {
    /// The name of a firewall alias.
    AliasName, "^[A-Za-z0-9-_]+$", 64, "lab-net"
}
text! {
    /// An IPv4 address or network in CIDR notation.
    Cidr, r"^(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(?:/(?:3[0-2]|[12]?[0-9]))?$", 18, "10.7.0.0/16"
}
text! {
    /// A comment: letters, digits, blanks, `_` and `-`.
    Comment, "^[A-Za-z0-9 _-]*$", 256, "only from the lab"
}
text! {
    /// What a firewall rule does with a packet.
    RuleAction, "^(ACCEPT|DROP|REJECT)$", 6, "ACCEPT"
}
text! {
    /// The direction of a firewall rule.
    RuleDirection, "^(in|out)$", 3, "in"
}
text! {
    /// A port, or a range of ports joined by a colon.
    PortRange, "^[0-9:-]+$", 11, "8000:8010"
}
text! {
    /// An IP protocol, by name or number.
    Protocol, "^[a-zA-Z0-9]+$", 16, "tcp"
}
text! {
    /// A log level of the Proxmox VE firewall.
    FirewallLogLevel, "^[A-Za-z0-9_-]+$", 16, "info"
}
text! {
    /// A network interface of a guest, such as `net0`.
    GuestInterface, "^[A-Za-z0-9_-]+$", 20, "net0"
}
text! {
    /// A network interface or bridge of a node.
    InterfaceName, "^[a-zA-Z0-9._-]+$", 20, "vmbr42"
}
text! {
    /// A type of network interface, as Proxmox VE names it.
    InterfaceType, "^[a-zA-Z]+$", 16, "bridge"
}
text! {
    /// An IPv4 address.
    Ipv4, r"^(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])$", 15, "10.42.0.1"
}
text! {
    /// An IPv4 address for cloud-init: four numbers of up to three digits.
    CloudInitIp, r"^(?:[0-9]{1,3}\.){3}[0-9]{1,3}$", 15, "10.42.0.11"
}
text! {
    /// An IPv4 netmask, dotted or as a prefix length with its slash.
    Netmask, r"^(?:0|128|192|224|240|248|252|254|255)\.0\.0\.0$|^255\.(?:0|128|192|224|240|248|252|254|255)\.0\.0$|^255\.255\.(?:0|128|192|224|240|248|252|254|255)\.0$|^255\.255\.255\.(?:0|128|192|224|240|248|252|254|255)$|^/(?:3[0-2]|[12]?[0-9])$", 15, "255.255.255.0"
}
text! {
    /// A model of emulated network card.
    CardModel, "^[A-Za-z0-9._-]+$", 20, "virtio"
}
text! {
    /// A bridge of the node.
    Bridge, "^[A-Za-z0-9._-]+$", 20, "vmbr0"
}
text! {
    /// A MAC address.
    MacAddress, "^(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$", 17, "02:00:00:00:42:01"
}
text! {
    /// The name of a storage.
    StorageName, "^[A-Za-z0-9-]*$", 100, "local"
}
text! {
    /// The name of the storage to write to.
    TargetStorage, "^[A-Za-z0-9-]+$", 100, "local"
}
text! {
    /// A content type of a storage.
    ContentType, "^[A-Za-z0-9-]*$", 16, "iso"
}
text! {
    /// The file name of an ISO image.
    IsoFile, r"^[A-Za-z0-9._-]+\.iso$", 255, "debian-12.iso"
}
text! {
    /// An http or https address that the node can reach.
    IsoUrl, r"^https?://[^\s\x00-\x20\x7f-\xa0]+$", 2048, "https://mirror.example.org/debian-12.iso"
}
text! {
    /// The login name of a Linux user.
    UserName, "^[a-z_][a-z0-9_-]*$", 32, "operator"
}
text! {
    /// The path of a login shell.
    ShellPath, "^/[a-z/]*$", 255, "/bin/bash"
}

/// A password: letters, digits and `@ . _ -`. It never appears in errors or logs.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    /// The password in plain text, for the playbook and for redaction.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialSchema for Password {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .description(Some("A password: letters, digits and `@ . _ -`."))
            .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(
                utoipa::openapi::KnownFormat::Password,
            )))
            .pattern(Some("^[A-Za-z0-9@._-]*$"))
            .max_length(Some(128))
            .examples(["change.me-42"])
            .into()
    }
}

impl ToSchema for Password {}
