//! How much the server takes on, for how long, and how much of it is kept.

use std::collections::HashMap;
use std::time::Duration;

use crate::config::{SettingsError, number};

/// What one playbook run takes, rounded up: ansible-runner, ansible-playbook and its workers.
const MEMORY_OF_A_RUN: u64 = 256 * 1024 * 1024;

/// Runs wait for Proxmox most of their time, so a core carries several.
const RUNS_PER_CORE: u64 = 4;

/// The limits of one server. All durations are settings in whole seconds.
#[derive(Debug, Clone)]
pub struct Limits {
    /// `RANGE42_MAX_RUNS`: runs at work at once.
    pub runs: usize,
    /// `RANGE42_MAX_QUEUE`: runs that wait for their turn.
    pub queue: usize,
    /// `RANGE42_RUN_TIME_LIMIT`: a run that takes longer is ended. 0: no limit.
    pub run_time: Option<Duration>,
    /// `RANGE42_SHUTDOWN_WAIT`: how long a server that ends waits for its runs.
    pub shutdown_wait: Duration,
    /// `RANGE42_HISTORY_DAYS`: how long an ended run is kept.
    pub history_days: u32,
    /// `RANGE42_HISTORY_RUNS`: how many ended runs are kept.
    pub history_runs: u32,
    /// `RANGE42_MAX_BODY`: the largest request body, in bytes.
    pub body: usize,
    /// `RANGE42_HEADER_TIME_LIMIT`: how long the first request of a connection may take to
    /// get here.
    pub header_time: Duration,
    /// `RANGE42_BODY_TIME_LIMIT`: how long a request's body may take to get here.
    pub body_time: Duration,
    /// `RANGE42_KEEP_ALIVE`: how long a connection may be idle between requests. It is above
    /// the 60 s after which gateways drop theirs, so that none sends into a closing one.
    pub keep_alive: Duration,
    /// `RANGE42_MAX_CONNECTIONS`: connections at once.
    pub connections: usize,
}

impl Limits {
    /// Reads the limits from the settings.
    pub(super) fn from_map(env: &HashMap<String, String>) -> Result<Self, SettingsError> {
        let get = |name: &str| env.get(name).map(String::as_str).filter(|v| !v.is_empty());
        let seconds = |name: &'static str, default: u32| {
            number(name, get(name), default).map(|s| Duration::from_secs(s.into()))
        };
        let at_least_one =
            |name: &'static str, default: usize| match number(name, get(name), default)? {
                0 => Err(SettingsError { name, reason: "must be at least 1".to_owned() }),
                count => Ok(count),
            };
        Ok(Self {
            runs: at_least_one("RANGE42_MAX_RUNS", runs_that_fit())?,
            queue: number("RANGE42_MAX_QUEUE", get("RANGE42_MAX_QUEUE"), 200)?,
            run_time: Some(seconds("RANGE42_RUN_TIME_LIMIT", 3600)?).filter(|d| !d.is_zero()),
            shutdown_wait: seconds("RANGE42_SHUTDOWN_WAIT", 30)?,
            history_days: number("RANGE42_HISTORY_DAYS", get("RANGE42_HISTORY_DAYS"), 30)?,
            history_runs: number("RANGE42_HISTORY_RUNS", get("RANGE42_HISTORY_RUNS"), 10_000)?,
            body: at_least_one("RANGE42_MAX_BODY", 1024 * 1024)?,
            header_time: seconds("RANGE42_HEADER_TIME_LIMIT", 10)?,
            body_time: seconds("RANGE42_BODY_TIME_LIMIT", 30)?,
            keep_alive: seconds("RANGE42_KEEP_ALIVE", 75)?,
            connections: at_least_one("RANGE42_MAX_CONNECTIONS", 4096)?,
        })
    }
}

/// What the cores and the memory of this machine carry, or those of the container.
fn runs_that_fit() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let by_memory = memory().map_or(u64::MAX, |bytes| bytes / MEMORY_OF_A_RUN);
    (cores * RUNS_PER_CORE).min(by_memory).clamp(1, 64) as usize
}

fn memory() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = machine.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let total = total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024;
    let container = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let container = container.and_then(|text| text.trim().parse().ok());
    Some(container.map_or(total, |limit: u64| limit.min(total)))
}
