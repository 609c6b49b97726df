//! Where the time of a run went.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Where the time of a run went: milliseconds for each phase, all of its playbooks together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Phases {
    /// It waited for its turn.
    pub queue_ms: u64,
    /// The Proxmox API was asked for a guest.
    pub look_up_ms: u64,
    /// The private data dir was made, the copy of the playbooks in it.
    pub prepare_ms: u64,
    /// The runner and Ansible started, until the first job event.
    pub start_ms: u64,
    /// The playbook was at work, until its recap.
    pub play_ms: u64,
    /// Ansible and the runner ended.
    pub end_ms: u64,
    /// The private data dir was removed.
    pub clean_up_ms: u64,
}

/// One phase of the work on a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "`Phases` says what each is")]
pub enum Phase {
    LookUp,
    Prepare,
    Start,
    Play,
    End,
    CleanUp,
}

/// Measures one phase after the other.
#[derive(Debug)]
pub struct Stopwatch {
    phase: Phase,
    since: Instant,
    spent: [Duration; 6],
}

impl Stopwatch {
    /// Begins with a phase.
    pub fn start(phase: Phase) -> Self {
        Self { phase, since: Instant::now(), spent: [Duration::ZERO; 6] }
    }

    /// The phase at work.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Another phase begins.
    pub fn enter(&mut self, phase: Phase) {
        let now = Instant::now();
        self.spent[self.phase as usize] += now - self.since;
        (self.phase, self.since) = (phase, now);
    }

    /// What was measured so far, the phase at work included, after `queue` in the queue.
    pub fn read(&mut self, queue: Duration) -> Phases {
        self.enter(self.phase);
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let [look_up_ms, prepare_ms, start_ms, play_ms, end_ms, clean_up_ms] = self.spent.map(ms);
        let queue_ms = ms(queue);
        Phases { queue_ms, look_up_ms, prepare_ms, start_ms, play_ms, end_ms, clean_up_ms }
    }
}
