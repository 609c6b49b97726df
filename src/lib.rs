//! The backend API of Range42: each request becomes an Ansible playbook run on Proxmox VE.
//!
//! The modules are layers, listed here from lowest to highest: [`config`], [`telemetry`],
//! [`redaction`], [`inventory`], [`proxmox`], [`ansible`], [`live_status`], [`runs`],
//! [`operations`], [`http`], [`generate`], [`cli`]. Each depends only on lower ones, which
//! `tests/api/architecture.rs` verifies.

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
