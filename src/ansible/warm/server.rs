//! The client of one server process: sends jobs, receives process IDs and exit codes.
//!
//! Messages are JSON objects, one per line, documented in `engine/forkserver/server.py`.

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

/// The timeout for importing Ansible and the warm-up run, which take seconds on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The timeout for the reply to a job.
const FORK_TIMEOUT: Duration = Duration::from_secs(20);

/// The timeout for the rest of a line that a server had started to write when it exited.
const LAST_LINE_TIMEOUT: Duration = Duration::from_secs(1);

/// A server that is ready. Dropping it closes the server's stdin; the server then exits when its
/// last job has ended.
pub struct Server {
    versions: String,
    process: OwnedFd,
    lines: mpsc::UnboundedSender<Value>,
    pending: Arc<PendingJobs>,
    number: AtomicU64,
}

/// A server that is starting.
pub struct Starting {
    child: Child,
    pid: u32,
}

/// Receives the messages of a server until the process exits.
pub struct Listener {
    lines: Lines<BufReader<ChildStdout>>,
    pending: Arc<PendingJobs>,
    child: Child,
}

/// A change in the life cycle of a server.
pub enum ServerEvent {
    /// The server asks to be replaced, and continues until then.
    Recycle(String),
    /// The server had no jobs for the idle timeout.
    Idle,
    /// The process has exited.
    Exited,
}

/// Why the server did not start a job.
pub enum ForkError {
    /// Nothing was started, so another engine may run the job.
    NothingStarted(String),
    /// The job may have been started, so no other engine may run it.
    Unknown(io::Error),
}

/// The jobs that have not ended, by number. `None` after the process has exited.
struct PendingJobs(Mutex<Option<HashMap<u64, Senders>>>);

struct Senders {
    started: Option<oneshot::Sender<Result<u32, String>>>,
    ended: oneshot::Sender<Option<i32>>,
}

/// A message from a server.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    ready: Option<String>,
    init_failed: Option<String>,
    job: u64,
    pid: Option<u32>,
    refused: Option<String>,
    cold: Option<String>,
    #[serde(deserialize_with = "present")]
    ended: Option<Option<i32>>,
    recycle: Option<String>,
}

/// Distinguishes `null`, which means killed by a signal, from a missing member.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<i32>>, D::Error> {
    Option::deserialize(value).map(Some)
}

impl Starting {
    /// Spawns the server process.
    ///
    /// # Errors
    ///
    /// Returns an error if the process cannot be spawned.
    ///
    /// # Blocking
    ///
    /// Forks and executes the process.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let pid = child.id().ok_or_else(|| io::Error::other("it exited immediately"))?;
        Ok(Self { child, pid })
    }

    /// Returns the process ID.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until the server is ready.
    ///
    /// # Errors
    ///
    /// Returns an error if the server reports a failed initialization, exits or times out.
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
        let line = match timeout(START_TIMEOUT, lines.next_line()).await {
            Ok(line) => line?.map(|line| serde_json::from_str::<Message>(&line)).transpose()?,
            Err(_) => None,
        };
        let line = line.unwrap_or_default();
        let Some(versions) = line.ready else {
            child.kill().await?;
            let reason = line.init_failed.unwrap_or_else(|| "it did not become ready".to_owned());
            return Err(io::Error::other(reason));
        };
        let pending = Arc::new(PendingJobs(Mutex::new(Some(HashMap::new()))));
        let listener = Listener { lines, pending: pending.clone(), child };
        let number = AtomicU64::new(1);
        Ok((Server { versions, process, lines: input, pending, number }, listener))
    }
}

/// Writes lines until all senders are dropped, and then closes the pipe.
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
    /// Returns the versions of ansible-core and ansible-runner.
    pub fn versions(&self) -> &str {
        &self.versions
    }

    /// Starts a job in a fork of the server.
    ///
    /// # Errors
    ///
    /// Returns an error if the server refuses the job, exits or does not reply in time.
    pub async fn launch(&self, job: &Job) -> Result<Launched, ForkError> {
        let arguments =
            job.runner_arguments().map_err(|e| ForkError::NothingStarted(e.to_string()))?;
        let arguments: Option<Vec<_>> =
            arguments.into_iter().map(|argument| argument.into_string().ok()).collect();
        let not_text = || ForkError::NothingStarted("its paths are not valid UTF-8".to_owned());
        let arguments = arguments.ok_or_else(not_text)?;
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let (started, answer) = oneshot::channel();
        let (sender, ended) = oneshot::channel();
        let senders = Senders { started: Some(started), ended: sender };
        let exited = || ForkError::NothingStarted("the warm engine has exited".to_owned());
        self.pending.jobs().as_mut().ok_or_else(exited)?.insert(number, senders);
        let line = json!({
            "job": number, "run_id": job.run_id, "arguments": arguments,
            "folder": job.private_data_dir, "log": job.private_data_dir.join(RUNNER_LOG),
        });
        if self.lines.send(line).is_err() {
            return Err(exited());
        }
        let pid = match timeout(FORK_TIMEOUT, answer).await {
            Ok(Ok(answer)) => answer.map_err(ForkError::NothingStarted)?,
            Ok(Err(_)) => {
                return Err(ForkError::Unknown(io::Error::other("the warm engine exited")));
            }
            Err(_) => {
                // The server must not start the job later, when it is no longer watched.
                let _ = pidfd_send_signal(&self.process, Signal::KILL);
                let error = io::Error::other("the warm engine did not reply in time");
                return Err(ForkError::Unknown(error));
            }
        };
        Ok(Launched { pid, ended: Box::pin(exit_code(ended, watch(pid))) })
    }
}

/// Returns a pidfd, which never refers to another process. `None` if the process has exited.
fn watch(pid: u32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid.try_into().ok()?)?, PidfdFlags::empty()).ok()
}

/// Waits for a job to exit. If its server exits first, the job continues and its exit code is
/// unknown.
async fn exit_code(
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
    /// Forwards replies to the jobs until the state of the server changes.
    pub async fn next(&mut self, idle: Duration) -> ServerEvent {
        let status = loop {
            // The end of the pipe does not mark the exit of the server: its forks keep the pipe open.
            tokio::select! {
                biased;
                Ok(Some(line)) = self.lines.next_line() => {
                    if let Some(event) = self.handle(&line) {
                        return event;
                    }
                }
                status = self.child.wait() => break status,
                () = tokio::time::sleep(idle) => {
                    if self.pending.is_idle() {
                        return ServerEvent::Idle;
                    }
                }
            }
        };
        self.handle_remaining_lines().await;
        // Dropping the senders wakes the jobs that are still pending.
        self.pending.jobs().take();
        match status {
            Ok(status) if status.success() => {}
            status => tracing::error!(?status, "the warm engine has crashed"),
        }
        ServerEvent::Exited
    }

    fn handle(&self, line: &str) -> Option<ServerEvent> {
        match serde_json::from_str::<Message>(line) {
            Ok(Message { recycle: Some(reason), .. }) => return Some(ServerEvent::Recycle(reason)),
            Ok(message) => self.pending.dispatch(message),
            Err(error) => tracing::error!(%error, line, "the warm engine sent an invalid message"),
        }
        None
    }

    /// Handles the lines that the server wrote before it exited.
    async fn handle_remaining_lines(&mut self) {
        while self.has_more() {
            match timeout(LAST_LINE_TIMEOUT, self.lines.next_line()).await {
                Ok(Ok(Some(line))) => drop(self.handle(&line)),
                _ => break,
            }
        }
    }

    /// Returns true if data can be read without waiting.
    fn has_more(&mut self) -> bool {
        let reader = self.lines.get_mut();
        let in_pipe = || rustix::io::ioctl_fionread(reader.get_ref()).unwrap_or(0);
        !reader.buffer().is_empty() || in_pipe() > 0
    }
}

impl PendingJobs {
    fn jobs(&self) -> MutexGuard<'_, Option<HashMap<u64, Senders>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_idle(&self) -> bool {
        self.jobs().as_ref().is_none_or(HashMap::is_empty)
    }

    fn dispatch(&self, message: Message) {
        let mut jobs = self.jobs();
        let Some(jobs) = jobs.as_mut() else { return };
        if let Some(reason) = message.cold {
            tracing::info!(reason, "a run starts a new ansible-playbook process");
        } else if let Some(code) = message.ended {
            // The receiver is gone if the run was abandoned.
            let _ = jobs.remove(&message.job).map(|job| job.ended.send(code));
        } else if let Some(reason) = message.refused {
            let _ = jobs.remove(&message.job).and_then(|job| job.started?.send(Err(reason)).ok());
        } else if let Some(pid) = message.pid {
            let _ =
                jobs.get_mut(&message.job).and_then(|job| job.started.take()?.send(Ok(pid)).ok());
        }
    }
}
