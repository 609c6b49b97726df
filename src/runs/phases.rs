//! How long each phase of a run took.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// The duration of each phase of a run in milliseconds, summed over its playbooks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Phases {
    /// Waiting in the queue.
    pub queue_ms: u64,
    /// Looking up the guest in the Proxmox API.
    pub look_up_ms: u64,
    /// Creating the private data dir and copying the playbooks into it.
    pub prepare_ms: u64,
    /// Starting ansible-runner and Ansible, until the first job event.
    pub start_ms: u64,
    /// Running the playbook, until its recap.
    pub play_ms: u64,
    /// Waiting for Ansible and ansible-runner to exit.
    pub end_ms: u64,
    /// Removing the private data dir.
    pub clean_up_ms: u64,
}

/// A phase of a run in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "`Phases` describes them")]
pub enum Phase {
    LookUp,
    Prepare,
    Start,
    Play,
    End,
    CleanUp,
}

/// Measures consecutive phases.
#[derive(Debug)]
pub struct Stopwatch {
    phase: Phase,
    since: Instant,
    spent: [Duration; 6],
}

impl Stopwatch {
    /// Starts in `phase`.
    pub fn start(phase: Phase) -> Self {
        Self { phase, since: Instant::now(), spent: [Duration::ZERO; 6] }
    }

    /// The current phase.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Ends the current phase and enters `phase`, which may have been entered before.
    pub fn enter(&mut self, phase: Phase) {
        let now = Instant::now();
        self.spent[self.phase as usize] += now - self.since;
        (self.phase, self.since) = (phase, now);
    }

    /// Returns the durations up to now, with `queue` as the time spent in the queue.
    pub fn read(&mut self, queue: Duration) -> Phases {
        self.enter(self.phase);
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let [look_up_ms, prepare_ms, start_ms, play_ms, end_ms, clean_up_ms] = self.spent.map(ms);
        let queue_ms = ms(queue);
        Phases { queue_ms, look_up_ms, prepare_ms, start_ms, play_ms, end_ms, clean_up_ms }
    }
}
