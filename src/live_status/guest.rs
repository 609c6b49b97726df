//! A guest as dashboards see it, and how Proxmox is asked for all of them.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize, Serializer};

use crate::live_status::{Nodes, Watched};
use crate::proxmox::client::{Client, ProxmoxError};
use crate::proxmox::lenient;

/// CPU may move by this much, in tenths of a percent, before clients are told.
const CPU_TOLERANCE: u64 = 20;

/// One guest. Templates are never among them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Guest {
    /// Its id, unique in the cluster.
    pub vmid: u64,
    /// Its name; empty while Proxmox is still making it.
    pub name: String,
    /// `running`, `stopped`, or `unknown` on a node out of reach.
    pub status: String,
    /// The share of its CPUs that it uses.
    pub cpu: Percent,
    /// Memory in use, in bytes.
    pub mem: u64,
    /// Memory at most, in bytes.
    pub maxmem: u64,
    /// Seconds since its start.
    pub uptime: u64,
    /// Always 0: clients of the former service read this member.
    pub template: u8,
    /// Its tags, joined by `;` as Proxmox does.
    pub tags: String,
    /// Its node, where all nodes are watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// `qemu` or `lxc`, where both are watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_type: Option<String>,
}

impl Guest {
    /// Whether this differs from what a client was `told` by enough to tell it.
    ///
    /// Memory in use and uptime move all the time and ride along with what matters.
    pub fn differs_from(&self, told: &Self) -> bool {
        let apart = self.cpu.tenths.abs_diff(told.cpu.tenths) > CPU_TOLERANCE;
        let like_told = Self { cpu: told.cpu, mem: told.mem, uptime: told.uptime, ..self.clone() };
        apart || like_told != *told
    }
}

/// Percent, with one decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent {
    tenths: u64,
}

impl Percent {
    /// Out of a share, where 1 is all of it.
    pub fn of_share(share: f64) -> Self {
        Self { tenths: (share * 1000.0).round() as u64 }
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.tenths as f64 / 10.0)
    }
}

/// A guest as Proxmox lists it, per node or for the whole cluster.
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

/// Asks for the guests that are watched: one request, however many there are.
pub async fn list(client: &Client, watched: &Watched) -> Result<Vec<Guest>, ProxmoxError> {
    let listed: Vec<Listed> = match &watched.nodes {
        Nodes::One(node) if !watched.containers => {
            let node = utf8_percent_encode(node, NON_ALPHANUMERIC);
            client.get(&format!("/nodes/{node}/qemu")).await?
        }
        _ => client.get("/cluster/resources?type=vm").await?,
    };
    Ok(listed.into_iter().filter_map(|guest| guest.into_watched(watched)).collect())
}

impl Listed {
    fn into_watched(self, watched: &Watched) -> Option<Guest> {
        // The list of a node says neither, since all of it is of that node and of QEMU.
        let guest_type = self.guest_type.unwrap_or_else(|| "qemu".to_owned());
        let wanted_type = guest_type == "qemu" || (watched.containers && guest_type == "lxc");
        let wanted_node = match (&watched.nodes, &self.node) {
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
            cpu: Percent::of_share(self.cpu),
            mem: self.mem as u64,
            maxmem: self.maxmem as u64,
            uptime: self.uptime as u64,
            template: 0,
            tags: self.tags.unwrap_or_default(),
            node: self.node.filter(|_| watched.nodes == Nodes::All),
            guest_type: watched.containers.then_some(guest_type),
        })
    }
}
