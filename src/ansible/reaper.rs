//! Finds and ends the processes of a run.
//!
//! ansible-core 2.19 starts each worker in a new session, so a signal to the process group does
//! not reach most processes of a run. A process belongs to a run if its environment contains the
//! run ID or if one of its ancestors belongs to the run. Both are read from `/proc`.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

use crate::ansible::executor::RUN_ID_VARIABLE;

/// The time between SIGTERM and SIGKILL.
const TERM_GRACE_PERIOD: Duration = Duration::from_secs(3);

/// The interval between two scans of `/proc`, which has no notification for the exit of a process
/// that is not a child.
const SCAN_INTERVAL: Duration = Duration::from_millis(20);

/// The time after which the remaining processes are logged.
const LOG_REMAINING_AFTER: Duration = Duration::from_secs(10);

/// Whether to end a run, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Let it run.
    No,
    /// Send SIGTERM first, and SIGKILL after a grace period.
    Gently,
    /// Send SIGKILL.
    AtOnce,
}

/// Waits until `stop` is raised. Never returns if its sender is dropped first.
pub async fn stop_requested(stop: &watch::Receiver<Stop>) {
    let mut stop = stop.clone();
    if stop.wait_for(|stop| *stop != Stop::No).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// A process from `/proc/<pid>/stat`. The start time distinguishes it from a later process with
/// the same ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    pid: i32,
    parent: i32,
    started: u64,
}

/// The known processes of one run.
struct ProcessTree<'a> {
    run_id: &'a str,
    /// The start time by process ID. Exited processes are kept, so that their children are found.
    known: HashMap<i32, u64>,
}

/// Ends all processes of a run and returns when none is left.
///
/// ansible-playbook is ended first, because it ends its workers, then ansible-runner (`root`),
/// then all remaining processes of the run, until two consecutive scans find none.
///
/// # Blocking
///
/// Scans `/proc` and sleeps. Does not return as long as a process of the run cannot be killed,
/// such as one in uninterruptible sleep.
pub fn end(run_id: &str, root: Option<Process>, stop: &watch::Receiver<Stop>) {
    let mut tree = ProcessTree { run_id, known: HashMap::new() };
    tree.known.extend(root.map(|process| (process.pid, process.started)));
    let playbooks = outermost(tree.find().into_iter().filter(is_playbook).collect());
    terminate(&mut tree, &playbooks, stop);
    let runners = outermost(tree.find());
    terminate(&mut tree, &runners, stop);

    let begun = Instant::now();
    let mut logged = false;
    let mut empty_scans = 0;
    while empty_scans < 2 {
        let left = tree.find();
        if left.is_empty() {
            empty_scans += 1;
        } else {
            empty_scans = 0;
            left.iter().for_each(|process| signal(process, Signal::KILL));
            if begun.elapsed() > LOG_REMAINING_AFTER && !logged {
                let pids: Vec<i32> = left.iter().map(|process| process.pid).collect();
                tracing::error!(run_id, ?pids, "processes of a run survive SIGKILL");
                logged = true;
            }
        }
        std::thread::sleep(SCAN_INTERVAL);
    }
}

/// Returns the process with this ID, if it is alive.
///
/// # Blocking
///
/// Reads `/proc`.
pub fn identify(pid: u32) -> Option<Process> {
    read(i32::try_from(pid).ok()?)
}

/// Returns true if any process of the run is alive.
///
/// # Blocking
///
/// Scans `/proc`.
pub fn any_alive(run_id: &str) -> bool {
    !ProcessTree { run_id, known: HashMap::new() }.find().is_empty()
}

/// Sends SIGTERM to processes, and SIGKILL to those that are alive after the grace period.
fn terminate(tree: &mut ProcessTree, processes: &[Process], stop: &watch::Receiver<Stop>) {
    processes.iter().for_each(|process| signal(process, Signal::TERM));
    let begun = Instant::now();
    let mut left: Vec<Process> = processes.to_vec();
    while begun.elapsed() < TERM_GRACE_PERIOD && *stop.borrow() != Stop::AtOnce {
        left.retain(|process| read(process.pid) == Some(*process));
        if left.is_empty() {
            return;
        }
        std::thread::sleep(SCAN_INTERVAL);
        // Record the processes that they start in the meantime.
        tree.find();
    }
    left.iter().for_each(|process| signal(process, Signal::KILL));
}

impl ProcessTree<'_> {
    /// Returns the live processes of the run.
    fn find(&mut self) -> Vec<Process> {
        let all = all_processes();
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        let mut members: Vec<Process> = Vec::new();
        let mut others: Vec<Process> = Vec::new();
        for process in all.into_iter().filter(|process| process.pid != own && process.pid != 1) {
            let known = self.known.get(&process.pid) == Some(&process.started);
            if known || has_run_id(process.pid, self.run_id) {
                members.push(process);
            } else {
                others.push(process);
            }
        }
        let mut parents: Vec<i32> = members.iter().map(|process| process.pid).collect();
        while let Some(parent) = parents.pop() {
            let (children, rest) = others.into_iter().partition(|p: &Process| p.parent == parent);
            others = rest;
            parents.extend(children.iter().map(|child| child.pid));
            members.extend(children);
        }
        self.known.extend(members.iter().map(|process| (process.pid, process.started)));
        members
    }
}

/// Returns the processes whose parent is not in `processes`. The workers of ansible-playbook have
/// its command line too.
fn outermost(processes: Vec<Process>) -> Vec<Process> {
    let is_inner = |process: &&Process| processes.iter().any(|other| other.pid == process.parent);
    processes.iter().filter(|process| !is_inner(process)).copied().collect()
}

fn all_processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(read)
        .collect()
}

/// Reads `/proc/<pid>/stat` (proc_pid_stat(5)). Returns `None` for zombies.
fn read(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program name in parentheses, which can contain any character.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let [state, parent, ..] = fields.as_slice() else { return None };
    if matches!(*state, "Z" | "X") {
        return None;
    }
    Some(Process { pid, parent: parent.parse().ok()?, started: fields.get(19)?.parse().ok()? })
}

fn has_run_id(pid: i32, run_id: &str) -> bool {
    let wanted = format!("{RUN_ID_VARIABLE}={run_id}");
    // The environment of other users' processes is unreadable; they belong to no run.
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|v| v == wanted.as_bytes()))
}

/// ansible-playbook is a script, so its name follows the name of the interpreter.
fn is_playbook(process: &Process) -> bool {
    let arguments = fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
    arguments
        .split(|byte| *byte == 0)
        .take(3)
        .any(|word| word == b"ansible-playbook" || word.ends_with(b"/ansible-playbook"))
}

fn signal(process: &Process, signal: Signal) {
    if read(process.pid).is_none_or(|now| now.started != process.started) {
        return;
    }
    if let Some(pid) = Pid::from_raw(process.pid) {
        // The process may have exited in the meantime.
        let _ = kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// A shell with the run ID, and a child in another session without it.
    fn spawn_tree(run_id: &str) -> std::process::Child {
        Command::new("sh")
            .args(["-c", "setsid env -i sleep 600 & setsid sleep 600 & wait"])
            .env(RUN_ID_VARIABLE, run_id)
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn count_sleeping(tree: &mut ProcessTree) -> usize {
        let is_sleep = |p: &Process| {
            fs::read(format!("/proc/{}/cmdline", p.pid)).is_ok_and(|c| c.starts_with(b"sleep"))
        };
        tree.find().iter().filter(|p| is_sleep(p)).count()
    }

    #[test]
    fn ends_processes_with_the_run_id_and_their_descendants() {
        let run_id = uuid::Uuid::now_v7().to_string();
        let mut child = spawn_tree(&run_id);
        let other_id = uuid::Uuid::now_v7().to_string();
        let mut other = spawn_tree(&other_id);
        let mut seen = ProcessTree { run_id: &run_id, known: HashMap::new() };
        while count_sleeping(&mut seen) < 2 {
            std::thread::sleep(SCAN_INTERVAL);
        }
        let members = seen.find();
        let (_sender, stop) = watch::channel(Stop::Gently);
        end(&run_id, identify(child.id()), &stop);
        child.wait().unwrap();
        assert!(members.iter().all(|member| read(member.pid) != Some(*member)), "{members:?}");
        assert!(!any_alive(&run_id));
        assert!(any_alive(&other_id), "the other run must not be ended");
        end(&other_id, None, &stop);
        other.wait().unwrap();
    }
}
