//! A server that is started to be measured: how long it takes to its first answer, and what
//! memory it has then.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::Server;

/// How long a server may take to its first answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two attempts to reach it.
const PAUSE: Duration = Duration::from_millis(1);

/// A server of ours, ended with this value.
pub struct Started {
    child: Child,
    /// From the start of its process to its first answer.
    pub first_answer: Duration,
}

impl Started {
    /// Starts a server with a command for the shell, and waits for its first answer.
    pub async fn start(command: &str, server: &Server) -> Self {
        let began = Instant::now();
        let command = format!("exec {command}");
        let child = Command::new("sh").args(["-c", &command]).stdout(Stdio::null()).spawn();
        let mut started = Self { child: child.expect("sh"), first_answer: Duration::ZERO };
        while tokio::net::TcpStream::connect(server.address()).await.is_err() {
            let ended = started.child.try_wait().expect("a child").is_some();
            assert!(!ended && began.elapsed() < PATIENCE, "{command}: it does not answer");
            tokio::time::sleep(PAUSE).await;
        }
        let answer = server.http.get(format!("{}/docs/openapi.json", server.base)).send().await;
        assert!(answer.is_ok_and(|answer| answer.status().is_success()), "{command}");
        started.first_answer = began.elapsed();
        started
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}
