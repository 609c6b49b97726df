//! Finding and ending the processes of a run.
//!
//! ansible-core 2.19 puts each worker into a session of its own, so a signal to the process
//! group of a run leaves most of it at work. What all of them have in common is the run's id
//! in their environment, which they inherit, or an ancestor that is known to belong to the
//! run; `/proc` tells both.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

use crate::ansible::executor::RUN_ID_VARIABLE;

/// How long a process has to end by itself before it is killed.
const GRACE: Duration = Duration::from_secs(3);

/// The pause between two looks at `/proc`, which has no event for the end of another's child.
const PAUSE: Duration = Duration::from_millis(20);

/// After this time without success, the log says which processes are left.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether a run is to be ended, and how quickly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// It goes on.
    No,
    /// Processes may clean up for a moment.
    Gently,
    /// Processes are killed.
    AtOnce,
}

/// Waits until a run is to be ended.
pub async fn asked_to_stop(stop: &watch::Receiver<Stop>) {
    let mut stop = stop.clone();
    if stop.wait_for(|stop| *stop != Stop::No).await.is_err() {
        // Whoever could ask is gone.
        std::future::pending::<()>().await;
    }
}

/// A process as `/proc/<pid>/stat` shows it. The start time tells it from a later process
/// with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    pid: i32,
    parent: i32,
    started: u64,
}

/// The processes of one run, as far as they have been seen.
struct Family<'a> {
    run_id: &'a str,
    /// Once seen, a process stays known: its children are found through it after its end.
    known: HashMap<i32, u64>,
}

/// Ends every process of a run and returns when none is left.
///
/// ansible-playbook is ended first, since it ends its workers; then the runner, `root`; then
/// whatever else carries the run's id or descends from such a process, again and again until
/// two looks in a row find nothing. A process that cannot be killed (one that waits for a
/// broken disk, say) keeps this function at work, so that nobody is told that it is gone.
pub fn end(run_id: &str, root: Option<Process>, stop: &watch::Receiver<Stop>) {
    let mut family = Family { run_id, known: HashMap::new() };
    family.known.extend(root.map(|process| (process.pid, process.started)));
    let playbooks = outermost(family.find().into_iter().filter(is_playbook).collect());
    end_some(&mut family, &playbooks, stop);
    let runners = outermost(family.find());
    end_some(&mut family, &runners, stop);

    let begun = Instant::now();
    let mut told = false;
    let mut empty_looks = 0;
    while empty_looks < 2 {
        let left = family.find();
        if left.is_empty() {
            empty_looks += 1;
        } else {
            empty_looks = 0;
            left.iter().for_each(|process| signal(process, Signal::KILL));
            if begun.elapsed() > PATIENCE && !told {
                let pids: Vec<i32> = left.iter().map(|process| process.pid).collect();
                tracing::error!(run_id, ?pids, "processes of a run cannot be ended");
                told = true;
            }
        }
        std::thread::sleep(PAUSE);
    }
}

/// The process with this id, if it is alive.
pub fn identify(pid: u32) -> Option<Process> {
    read(i32::try_from(pid).ok()?)
}

/// Whether any process of the run is left.
pub fn any(run_id: &str) -> bool {
    !Family { run_id, known: HashMap::new() }.find().is_empty()
}

/// Asks processes to end, and kills those that are still there after the grace time.
fn end_some(family: &mut Family, processes: &[Process], stop: &watch::Receiver<Stop>) {
    processes.iter().for_each(|process| signal(process, Signal::TERM));
    let begun = Instant::now();
    let mut left: Vec<Process> = processes.to_vec();
    while begun.elapsed() < GRACE && *stop.borrow() != Stop::AtOnce {
        left.retain(|process| read(process.pid) == Some(*process));
        if left.is_empty() {
            return;
        }
        std::thread::sleep(PAUSE);
        // What they start meanwhile is theirs too.
        family.find();
    }
    left.iter().for_each(|process| signal(process, Signal::KILL));
}

impl Family<'_> {
    /// The processes of the run that are alive now.
    fn find(&mut self) -> Vec<Process> {
        let all = alive();
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        let mut members: Vec<Process> = Vec::new();
        let mut others: Vec<Process> = Vec::new();
        for process in all.into_iter().filter(|process| process.pid != own && process.pid != 1) {
            let known = self.known.get(&process.pid) == Some(&process.started);
            if known || carries(process.pid, self.run_id) {
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

/// Those whose parent is not among them: the workers of ansible-playbook look like it.
fn outermost(processes: Vec<Process>) -> Vec<Process> {
    let is_inner = |process: &&Process| processes.iter().any(|other| other.pid == process.parent);
    processes.iter().filter(|process| !is_inner(process)).copied().collect()
}

fn alive() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(read)
        .collect()
}

/// Reads `/proc/<pid>/stat`; none where the process has ended, waited for or not.
fn read(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets, which can hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let [state, parent, ..] = fields.as_slice() else { return None };
    if matches!(*state, "Z" | "X") {
        return None;
    }
    Some(Process { pid, parent: parent.parse().ok()?, started: fields.get(19)?.parse().ok()? })
}

fn carries(pid: i32, run_id: &str) -> bool {
    let wanted = format!("{RUN_ID_VARIABLE}={run_id}");
    // Processes of other users cannot be read, and are not ours.
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|v| v == wanted.as_bytes()))
}

/// ansible-playbook is a script: its name comes after that of its interpreter.
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
        // It may have ended by itself since.
        let _ = kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// A shell with the run's id, and a child that has left its session and forgotten the id.
    fn family(run_id: &str) -> std::process::Child {
        Command::new("sh")
            .args(["-c", "setsid env -i sleep 600 & setsid sleep 600 & wait"])
            .env(RUN_ID_VARIABLE, run_id)
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn sleepers(family: &mut Family) -> usize {
        let is_sleep = |p: &Process| {
            fs::read(format!("/proc/{}/cmdline", p.pid)).is_ok_and(|c| c.starts_with(b"sleep"))
        };
        family.find().iter().filter(|p| is_sleep(p)).count()
    }

    #[test]
    fn ends_what_carries_the_id_and_what_descends_from_it() {
        let run_id = uuid::Uuid::now_v7().to_string();
        let mut child = family(&run_id);
        let other_id = uuid::Uuid::now_v7().to_string();
        let mut other = family(&other_id);
        let mut seen = Family { run_id: &run_id, known: HashMap::new() };
        while sleepers(&mut seen) < 2 {
            std::thread::sleep(PAUSE);
        }
        let members = seen.find();
        let (_sender, stop) = watch::channel(Stop::Gently);
        end(&run_id, identify(child.id()), &stop);
        child.wait().unwrap();
        assert!(members.iter().all(|member| read(member.pid) != Some(*member)), "{members:?}");
        assert!(!any(&run_id));
        assert!(any(&other_id), "the other run goes on");
        end(&other_id, None, &stop);
        other.wait().unwrap();
    }
}
