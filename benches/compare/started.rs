//! Starts a server and measures the time to its first response.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::Server;

/// How long a server may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// The pause between two attempts to connect.
const CONNECT_INTERVAL: Duration = Duration::from_millis(1);

/// A server process, stopped when dropped.
pub struct Started {
    child: Child,
    /// The time from the start of the process to the first response.
    pub first_response: Duration,
}

impl Started {
    /// Starts a server with a shell command, and waits for its first response.
    pub async fn start(command: &str, server: &Server) -> Self {
        let began = Instant::now();
        let command = format!("exec {command}");
        let child = Command::new("sh").args(["-c", &command]).stdout(Stdio::null()).spawn();
        let mut started = Self { child: child.expect("sh"), first_response: Duration::ZERO };
        while tokio::net::TcpStream::connect(server.address()).await.is_err() {
            let ended = started.child.try_wait().expect("a child").is_some();
            assert!(!ended && began.elapsed() < START_TIMEOUT, "{command}: no response");
            tokio::time::sleep(CONNECT_INTERVAL).await;
        }
        let answer = server.http.get(format!("{}/docs/openapi.json", server.base)).send().await;
        assert!(answer.is_ok_and(|answer| answer.status().is_success()), "{command}");
        started.first_response = began.elapsed();
        started
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}
