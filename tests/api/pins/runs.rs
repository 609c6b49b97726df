//! For each case of the contract: the response, and each call of the runner.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::pins::pin;
use crate::support::process::ServerProcess;
use crate::support::{contract, stub};

/// The number of servers that replay cases concurrently.
const SERVERS: usize = 4;

/// For a longer response, only its beginning and its length are recorded.
const SHOWN: usize = 1000;

#[test]
fn every_case_makes_the_same_runs() {
    let cases = contract::cases();
    let mock: Value = serde_json::from_str(contract::vectors("mock")[0].get()).unwrap();
    let mut lines: Vec<(usize, String)> = std::thread::scope(|scope| {
        let part = |part| {
            let (cases, mock) = (&cases, &mock);
            scope.spawn(move || {
                let plain = Server::start(|_, _| {});
                let mine = cases.iter().enumerate().skip(part).step_by(SERVERS);
                mine.map(|(index, case)| (index, plain.line(case, mock))).collect::<Vec<_>>()
            })
        };
        let parts: Vec<_> = (0..SERVERS).map(part).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });
    lines.sort();
    assert!(lines.len() > 2000, "only {} cases", lines.len());
    pin::check("runs.jsonl", &lines.into_iter().map(|(_, line)| line + "\n").collect::<String>());
}

struct Server {
    process: ServerProcess,
    dir: TempDir,
}

impl Server {
    fn start(change: impl FnOnce(&Path, &mut HashMap<String, String>)) -> Self {
        let (dir, env) = stub::project(change);
        Self { process: pin::start(&env), dir }
    }

    /// The recorded line of a case.
    fn line(&self, case: &Value, mock: &Value) -> String {
        if let Some(words) = case["setup"]["server"].as_str() {
            let broken = Self::start(|dir, env| contract::break_server(words, dir, env));
            return broken.ask(case, mock);
        }
        self.ask(case, mock)
    }

    fn ask(&self, case: &Value, mock: &Value) -> String {
        std::fs::write(self.runs("stub.json"), contract::behaviour(case, mock).to_string())
            .unwrap();
        let _ = std::fs::remove_file(self.runs("calls.jsonl"));
        let (status, answer) = self.send(case);
        let answer = pin::normalized(&answer.replace(self.dir.path().to_str().unwrap(), "PROJECT"));
        let answer = match answer.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{} and so on, {} bytes", &answer[..end], answer.len()),
            None => answer,
        };
        let calls = std::fs::read_to_string(self.runs("calls.jsonl")).unwrap_or_default();
        let runs: Vec<Value> = calls.lines().map(call).collect();
        json!({ "id": case["id"], "status": status, "answer": answer, "runs": runs }).to_string()
    }

    fn runs(&self, name: &str) -> PathBuf {
        self.dir.path().join("runs").join(name)
    }

    /// Sends the request without a client library, which would normalize the path.
    fn send(&self, case: &Value) -> (u16, String) {
        let address = self.process.url.strip_prefix("http://").unwrap();
        let (method, path) = (case["method"].as_str().unwrap(), case["path"].as_str().unwrap());
        let body = contract::bytes(case);
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
        if let Some(content_type) = case["content_type"].as_str() {
            head += &format!("content-type: {content_type}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n", body.len());
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        // The server may reject a body before it has read all of it.
        let _ = stream.write_all(&body);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) =
            answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{case}: {answer}"));
        assert!(!head.contains("chunked"), "{head}");
        (head[9..12].parse().unwrap(), body.to_owned())
    }
}

fn call(line: &str) -> Value {
    let call: Value = serde_json::from_str(line).unwrap();
    json!({
        "argv": call["argv"],
        "limit": call["limit"],
        "tags": call["tags"],
        "extravars": call["extravars_text"],
    })
}
