//! The Proxmox VE API, spoken to directly where no playbook is needed.

pub mod client;
pub mod inventory;
mod perl;
pub mod status;
