//! Limits on the number, duration and size of what the server handles and stores.

use std::collections::HashMap;
use std::time::Duration;

use crate::config::{SettingsError, number};

/// The memory of one playbook run: ansible-runner, ansible-playbook and its workers, measured
/// and rounded up.
const MEMORY_PER_RUN: u64 = 256 * 1024 * 1024;

/// Runs mostly wait for Proxmox, so several can share a core.
const RUNS_PER_CORE: u64 = 4;

/// The limits of a server. All durations are settings in whole seconds.
#[derive(Debug, Clone)]
pub struct Limits {
    /// `RANGE42_MAX_RUNS`: maximum number of concurrent runs.
    pub runs: usize,
    /// `RANGE42_MAX_QUEUE`: maximum number of queued runs.
    pub queue: usize,
    /// `RANGE42_QUEUED_MAX_AGE`: how long after its acceptance a queued run still begins after a
    /// restart.
    pub queued_max_age: Duration,
    /// `RANGE42_RUN_TIME_LIMIT`: the time after which a run is ended. `None` if the setting is 0.
    pub run_time: Option<Duration>,
    /// `RANGE42_SHUTDOWN_WAIT`: how long a shutdown waits for running runs.
    pub shutdown_wait: Duration,
    /// `RANGE42_HISTORY_DAYS`: how long ended runs are kept.
    pub history_days: u32,
    /// `RANGE42_HISTORY_RUNS`: how many ended runs are kept.
    pub history_runs: u32,
    /// `RANGE42_MAX_BODY`: maximum size of a request body in bytes.
    pub body: usize,
    /// `RANGE42_HEADER_TIME_LIMIT`: timeout for the first request of a connection.
    pub header_time: Duration,
    /// `RANGE42_BODY_TIME_LIMIT`: timeout for receiving a request body.
    pub body_time: Duration,
    /// `RANGE42_KEEP_ALIVE`: idle timeout of a connection. Must exceed the 60 s after which Kong
    /// closes idle upstream connections (`upstream_keepalive_idle_timeout`), so that the gateway
    /// never sends a request on a closing connection.
    pub keep_alive: Duration,
    /// `RANGE42_MAX_CONNECTIONS`: maximum number of connections.
    pub connections: usize,
}

impl Limits {
    /// Reads the limits from a map.
    ///
    /// # Errors
    ///
    /// Returns the first invalid setting.
    ///
    /// # Blocking
    ///
    /// Reads the memory limits from `/proc` and `/sys`.
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
            runs: at_least_one("RANGE42_MAX_RUNS", default_runs())?,
            queue: number("RANGE42_MAX_QUEUE", get("RANGE42_MAX_QUEUE"), 200)?,
            queued_max_age: seconds("RANGE42_QUEUED_MAX_AGE", 900)?,
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

/// Returns the default number of concurrent runs for the cores and memory of this machine or
/// container.
fn default_runs() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let by_memory = memory().map_or(u64::MAX, |bytes| bytes / MEMORY_PER_RUN);
    (cores * RUNS_PER_CORE).min(by_memory).clamp(1, 64) as usize
}

/// Returns the memory of this machine (proc_meminfo(5)) or the limit of the container (cgroup v2),
/// in bytes.
fn memory() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = machine.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let total = total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024;
    let container = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let container = container.and_then(|text| text.trim().parse().ok());
    Some(container.map_or(total, |limit: u64| limit.min(total)))
}
