//! Live VM status, against the demo's Proxmox over TLS.

mod changes;
mod clients;
mod credentials;
mod dashboard;
mod demo;
mod doors;
mod faults;
