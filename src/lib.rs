//! The backend API of Range42: each request becomes an Ansible playbook run on Proxmox VE.
//!
//! The modules stand in layers, the highest last: [`config`], [`telemetry`], [`redaction`],
//! [`inventory`], [`proxmox`], [`ansible`], [`live_status`], [`runs`], [`operations`], [`http`],
//! [`generate`], [`cli`]. Each depends on those before it only; a test reads every path.

pub mod ansible;
pub mod cli;
pub mod config;
pub mod generate;
pub mod http;
pub mod inventory;
pub mod live_status;
pub mod operations;
pub mod proxmox;
pub mod redaction;
pub mod runs;
pub mod telemetry;
