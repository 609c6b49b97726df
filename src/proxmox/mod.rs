//! Direct access to the Proxmox VE API, for requests that need no playbook.

pub mod client;
pub mod lenient;
