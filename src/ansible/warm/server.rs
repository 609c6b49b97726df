//! One warm Python: jobs in, process ids and exit codes out, a JSON object a line.
//!
//! `engine/forkserver/server.py` is the other end and describes the lines.

use std::collections::HashMap;
use std::io;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::ansible::executor::{Job, Launched, RUNNER_LOG};

/// How long it may take to import Ansible and to rehearse, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a fork may take to be reported.
const FORK: Duration = Duration::from_secs(20);

/// How long the rest of a line may take that a server had begun when it ended.
const LAST_LINE: Duration = Duration::from_secs(1);

/// A server that is ready. When this is dropped its input ends, and it ends after its jobs.
pub struct Server {
    versions: String,
    process: OwnedFd,
    lines: mpsc::UnboundedSender<Value>,
    waiting: Arc<Waiting>,
    number: AtomicU64,
}

/// A server that has been started and is not ready yet.
pub struct Starting {
    child: Child,
    pid: u32,
}

/// What a server says. It lives as long as the server's process.
pub struct Listener {
    lines: Lines<BufReader<ChildStdout>>,
    waiting: Arc<Waiting>,
    child: Child,
}

/// What its keeper must know about a server.
pub enum Event {
    /// It goes on, but another one should take its place.
    Spent(String),
    /// It has had nothing to do for the time that was given.
    Idle,
    /// Its process has ended.
    Ended,
}

/// Why a job was not launched.
pub enum Refusal {
    /// Another engine may run it.
    NothingStarted(String),
    /// Nobody may: it could be run twice.
    Unknown(io::Error),
}

/// Who waits for what about which job; nobody may any more once the server's process has ended.
struct Waiting(Mutex<Option<HashMap<u64, Senders>>>);

struct Senders {
    started: Option<oneshot::Sender<Result<u32, String>>>,
    ended: oneshot::Sender<Option<i32>>,
}

/// A line of a server.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    ready: Option<String>,
    unfit: Option<String>,
    job: u64,
    pid: Option<u32>,
    refused: Option<String>,
    cold: Option<String>,
    #[serde(deserialize_with = "present")]
    ended: Option<Option<i32>>,
    spent: Option<String>,
}

/// Tells `null`, which is the end by a signal, from no such member.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<i32>>, D::Error> {
    Option::deserialize(value).map(Some)
}

impl Starting {
    /// Starts a server.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let pid = child.id().ok_or_else(|| io::Error::other("it has ended at once"))?;
        Ok(Self { child, pid })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until it is ready; the error may be its own reason not to be.
    pub async fn ready(self, opening: Value) -> io::Result<(Server, Listener)> {
        let Self { mut child, pid } = self;
        let (Some(stdin), Some(stdout), Some(process)) =
            (child.stdin.take(), child.stdout.take(), watch(pid))
        else {
            return Err(io::Error::other("it has no pipes"));
        };
        let mut lines = BufReader::new(stdout).lines();
        let input = write_lines(stdin);
        let _ = input.send(opening);
        let line = match timeout(PATIENCE, lines.next_line()).await {
            Ok(line) => line?.map(|line| serde_json::from_str::<Line>(&line)).transpose()?,
            Err(_) => None,
        };
        let line = line.unwrap_or_default();
        let Some(versions) = line.ready else {
            child.kill().await?;
            let reason = line.unfit.unwrap_or_else(|| "it did not get ready".to_owned());
            return Err(io::Error::other(reason));
        };
        let waiting = Arc::new(Waiting(Mutex::new(Some(HashMap::new()))));
        let listener = Listener { lines, waiting: waiting.clone(), child };
        let number = AtomicU64::new(1);
        Ok((Server { versions, process, lines: input, waiting, number }, listener))
    }
}

/// Writes lines until nobody can send one any more, and then closes the pipe.
fn write_lines(mut stdin: ChildStdin) -> mpsc::UnboundedSender<Value> {
    let (sender, mut lines) = mpsc::unbounded_channel::<Value>();
    tokio::spawn(async move {
        while let Some(line) = lines.recv().await {
            if stdin.write_all(format!("{line}\n").as_bytes()).await.is_err() {
                break;
            }
        }
    });
    sender
}

impl Server {
    /// The versions of what it has loaded.
    pub fn versions(&self) -> &str {
        &self.versions
    }

    /// Has a fork made for the job.
    pub async fn launch(&self, job: &Job) -> Result<Launched, Refusal> {
        let words = job.words().map_err(|e| Refusal::NothingStarted(e.to_string()))?;
        let words: Option<Vec<_>> = words.into_iter().map(|word| word.into_string().ok()).collect();
        let not_text = || Refusal::NothingStarted("its paths are not UTF-8".to_owned());
        let words = words.ok_or_else(not_text)?;
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let (started, answer) = oneshot::channel();
        let (sender, ended) = oneshot::channel();
        let senders = Senders { started: Some(started), ended: sender };
        let gone = || Refusal::NothingStarted("the warm engine is gone".to_owned());
        self.waiting.jobs().as_mut().ok_or_else(gone)?.insert(number, senders);
        let line = json!({
            "job": number, "run_id": job.run_id, "arguments": words,
            "folder": job.private_data_dir, "log": job.private_data_dir.join(RUNNER_LOG),
        });
        if self.lines.send(line).is_err() {
            return Err(gone());
        }
        let pid = match timeout(FORK, answer).await {
            Ok(Ok(answer)) => answer.map_err(Refusal::NothingStarted)?,
            Ok(Err(_)) => return Err(Refusal::Unknown(io::Error::other("the warm engine ended"))),
            Err(_) => {
                // It must not start the job later, when nobody waits for it any more.
                let _ = pidfd_send_signal(&self.process, Signal::KILL);
                let error = io::Error::other("the warm engine did not answer");
                return Err(Refusal::Unknown(error));
            }
        };
        Ok(Launched { pid, ended: Box::pin(end_of(ended, watch(pid))) })
    }
}

/// A handle on a process, which nobody else can get in its place; none where it has ended already.
fn watch(pid: u32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid.try_into().ok()?)?, PidfdFlags::empty()).ok()
}

/// Waits for the end of a job. Its server tells the exit code; where the server has died, the
/// job goes on, and only the kernel tells when it has ended.
async fn end_of(
    ended: oneshot::Receiver<Option<i32>>,
    process: Option<OwnedFd>,
) -> io::Result<Option<i32>> {
    if let Ok(code) = ended.await {
        return Ok(code);
    }
    if let Some(process) = process {
        let wait = move || poll(&mut [PollFd::new(&process, PollFlags::IN)], None).map(|_| ());
        tokio::task::spawn_blocking(wait).await??;
    }
    Ok(None)
}

impl Listener {
    /// Passes answers on to those who wait, up to something that the keeper must know.
    pub async fn next(&mut self, idle: Duration) -> Event {
        let left = loop {
            // The end of its lines is not the end to wait for: its forks hold the pipe open too.
            tokio::select! {
                biased;
                Ok(Some(line)) = self.lines.next_line() => {
                    if let Some(spent) = self.hear(&line) {
                        return spent;
                    }
                }
                left = self.child.wait() => break left,
                () = tokio::time::sleep(idle) => {
                    if self.waiting.is_idle() {
                        return Event::Idle;
                    }
                }
            }
        };
        self.hear_the_last().await;
        // Whoever still waits hears that there will be no answer.
        self.waiting.jobs().take();
        match left {
            Ok(status) if status.success() => {}
            left => tracing::error!(?left, "the warm engine has crashed"),
        }
        Event::Ended
    }

    fn hear(&self, line: &str) -> Option<Event> {
        match serde_json::from_str::<Line>(line) {
            Ok(Line { spent: Some(reason), .. }) => return Some(Event::Spent(reason)),
            Ok(line) => self.waiting.pass_on(line),
            Err(error) => tracing::error!(%error, line, "the warm engine is not understood"),
        }
        None
    }

    /// Passes on what a server that has ended said before.
    async fn hear_the_last(&mut self) {
        while self.has_more() {
            match timeout(LAST_LINE, self.lines.next_line()).await {
                Ok(Ok(Some(line))) => drop(self.hear(&line)),
                _ => break,
            }
        }
    }

    /// Whether there is something to read already.
    fn has_more(&mut self) -> bool {
        let reader = self.lines.get_mut();
        let in_pipe = || rustix::io::ioctl_fionread(reader.get_ref()).unwrap_or(0);
        !reader.buffer().is_empty() || in_pipe() > 0
    }
}

impl Waiting {
    fn jobs(&self) -> MutexGuard<'_, Option<HashMap<u64, Senders>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_idle(&self) -> bool {
        self.jobs().as_ref().is_none_or(HashMap::is_empty)
    }

    fn pass_on(&self, line: Line) {
        let mut jobs = self.jobs();
        let Some(jobs) = jobs.as_mut() else { return };
        if let Some(reason) = line.cold {
            tracing::info!(reason, "a run gets an ansible-playbook of its own");
        } else if let Some(code) = line.ended {
            // Nobody waits any more where the run was given up.
            let _ = jobs.remove(&line.job).map(|job| job.ended.send(code));
        } else if let Some(reason) = line.refused {
            let _ = jobs.remove(&line.job).and_then(|job| job.started?.send(Err(reason)).ok());
        } else if let Some(pid) = line.pid {
            let _ = jobs.get_mut(&line.job).and_then(|job| job.started.take()?.send(Ok(pid)).ok());
        }
    }
}
