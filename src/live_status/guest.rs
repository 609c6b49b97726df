//! Guests as sent to clients, and the request that lists them.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize, Serializer};

use crate::live_status::{Nodes, Scope};
use crate::proxmox::client::{Client, ProxmoxError};
use crate::proxmox::lenient;

/// Smaller changes of CPU usage, in tenths of a percent, are not sent to clients.
const CPU_TOLERANCE: u64 = 20;

/// A guest. Templates are excluded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Guest {
    /// The VM ID, unique in the cluster.
    pub vmid: u64,
    /// The name. Empty while Proxmox is creating the guest.
    pub name: String,
    /// `running`, `stopped`, or `unknown` on an unreachable node.
    pub status: String,
    /// CPU usage relative to its CPUs.
    pub cpu: Percent,
    /// Used memory in bytes.
    pub mem: u64,
    /// Maximum memory in bytes.
    pub maxmem: u64,
    /// Seconds since the start of the guest.
    pub uptime: u64,
    /// Always 0. Kept for clients of the previous service.
    pub template: u8,
    /// Tags, separated by `;` as in Proxmox.
    pub tags: String,
    /// The node, if all nodes are watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// `qemu` or `lxc`, if both are watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_type: Option<String>,
}

impl Guest {
    /// Returns true if the difference from `sent` must be sent to clients.
    ///
    /// Used memory and uptime change all the time. They are sent along with other changes only.
    pub fn differs_from(&self, sent: &Self) -> bool {
        let cpu_differs = self.cpu.tenths.abs_diff(sent.cpu.tenths) > CPU_TOLERANCE;
        let comparable = Self { cpu: sent.cpu, mem: sent.mem, uptime: sent.uptime, ..self.clone() };
        cpu_differs || comparable != *sent
    }
}

/// A percentage with one decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent {
    tenths: u64,
}

impl Percent {
    /// Converts a fraction, where 1 is 100 %.
    pub fn from_fraction(fraction: f64) -> Self {
        Self { tenths: (fraction * 1000.0).round() as u64 }
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.tenths as f64 / 10.0)
    }
}

/// A guest in the list of a node or of the cluster.
#[derive(Deserialize)]
struct Listed {
    #[serde(deserialize_with = "lenient::number")]
    vmid: f64,
    #[serde(default, deserialize_with = "lenient::text")]
    name: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default, deserialize_with = "lenient::number")]
    cpu: f64,
    #[serde(default, deserialize_with = "lenient::number")]
    mem: f64,
    #[serde(default, deserialize_with = "lenient::number")]
    maxmem: f64,
    #[serde(default, deserialize_with = "lenient::number")]
    uptime: f64,
    #[serde(default, deserialize_with = "lenient::number")]
    template: f64,
    #[serde(default, deserialize_with = "lenient::text")]
    tags: Option<String>,
    #[serde(default)]
    node: Option<String>,
    #[serde(default, rename = "type")]
    guest_type: Option<String>,
}

/// Lists the guests in `scope` with a single request.
///
/// # Errors
///
/// Returns an error if the request fails.
pub async fn list(client: &Client, scope: &Scope) -> Result<Vec<Guest>, ProxmoxError> {
    let listed: Vec<Listed> = match &scope.nodes {
        Nodes::One(node) if !scope.containers => {
            let node = utf8_percent_encode(node, NON_ALPHANUMERIC);
            client.get(&format!("/nodes/{node}/qemu")).await?
        }
        _ => client.get("/cluster/resources?type=vm").await?,
    };
    Ok(listed.into_iter().filter_map(|guest| guest.into_guest(scope)).collect())
}

impl Listed {
    fn into_guest(self, scope: &Scope) -> Option<Guest> {
        // The list of a node contains neither type nor node: all guests are QEMU VMs on that node.
        let guest_type = self.guest_type.unwrap_or_else(|| "qemu".to_owned());
        let wanted_type = guest_type == "qemu" || (scope.containers && guest_type == "lxc");
        let wanted_node = match (&scope.nodes, &self.node) {
            (Nodes::One(wanted), Some(node)) => wanted == node,
            _ => true,
        };
        if self.template != 0.0 || !wanted_type || !wanted_node {
            return None;
        }
        Some(Guest {
            vmid: self.vmid as u64,
            name: self.name.unwrap_or_default(),
            status: self.status.unwrap_or_else(|| "unknown".to_owned()),
            cpu: Percent::from_fraction(self.cpu),
            mem: self.mem as u64,
            maxmem: self.maxmem as u64,
            uptime: self.uptime as u64,
            template: 0,
            tags: self.tags.unwrap_or_default(),
            node: self.node.filter(|_| scope.nodes == Nodes::All),
            guest_type: scope.containers.then_some(guest_type),
        })
    }
}
