//! The Proxmox VE API, spoken to directly where no playbook is needed.

pub mod client;
pub mod lenient;
