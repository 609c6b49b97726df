//! `runs list`, `runs follow`, `runs cancel`: the runs of the server of this machine, for a
//! person at a terminal.

use std::io;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use reqwest::{Client, Method, Response};
use serde_json::Value;

use crate::cli::follow::follow;
use crate::config::{SECRET_HEADER, Settings};
use crate::http::health;
use crate::http::runs::PATH;
use crate::runs::record::Record;

/// How long the server may take to answer anything but a stream.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is to be done with runs.
#[derive(Args)]
pub struct RunsCommand {
    #[command(subcommand)]
    action: Action,
    /// The server's URL; without it, the one that HOST and PORT name on this machine.
    #[arg(long, global = true)]
    server: Option<String>,
}

#[derive(Subcommand)]
enum Action {
    /// List runs, the newest first.
    List {
        /// Only those in this state; several are joined by commas.
        #[arg(long)]
        state: Option<String>,
        /// Only those about this node.
        #[arg(long)]
        node: Option<String>,
        /// How many.
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Print the log of a run, and what comes until it ends. The exit code says whether it
    /// succeeded.
    Follow {
        /// The run.
        id: String,
    },
    /// End a run.
    Cancel {
        /// The run.
        id: String,
    },
}

/// Does it.
pub fn runs(settings: &Settings, command: RunsCommand) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return crate::cli::failed(&error),
    };
    let url = command.server.unwrap_or_else(|| crate::cli::local_url(settings));
    let done = runtime.block_on(async {
        let server = Server::new(url, settings.gateway.secret.clone())?;
        match command.action {
            Action::List { state, node, limit } => list(&server, state, node, limit).await,
            Action::Follow { id } => follow(&server, &id).await,
            Action::Cancel { id } => cancel(&server, &id).await,
        }
    });
    match done {
        Ok(code) => code,
        Err(error) => crate::cli::failed(&error),
    }
}

/// A server as these commands see it.
pub(super) struct Server {
    url: String,
    http: Client,
    /// Without it a server that serves its gateway alone answers nobody.
    secret: Option<String>,
}

impl Server {
    fn new(url: String, secret: Option<String>) -> Result<Self, String> {
        let http = client(PATIENCE)?;
        Ok(Self { url: url.trim_end_matches('/').to_owned(), http, secret })
    }

    /// Asks for a path below the runs. An answer that is no success is an error in its own
    /// words.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, String)],
    ) -> Result<Response, String> {
        let mut request = self.http.request(method, format!("{}{PATH}{path}", self.url));
        if let Some(secret) = &self.secret {
            request = request.header(SECRET_HEADER, secret);
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let response = tokio::time::timeout(PATIENCE, request.send()).await;
        let response = response.map_err(|_| "the server does not answer".to_owned())?;
        let response = response.map_err(said)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body: Value = response.json().await.unwrap_or_default();
        Err(body["detail"].as_str().map_or_else(|| status.to_string(), str::to_owned))
    }
}

fn client(connect_timeout: Duration) -> Result<Client, String> {
    // reqwest wants one of these even where nothing is encrypted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().connect_timeout(connect_timeout).build().map_err(said)
}

/// Asks a server whether it is alive. It may be asked without the gateway's secret.
pub(super) async fn health(url: &str, timeout: Duration) -> Result<Response, String> {
    let request = client(timeout)?.get(format!("{url}{}", health::ALIVE)).timeout(timeout);
    request.send().await.map_err(said)
}

/// The last cause says what happened.
fn said(error: reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

async fn list(
    server: &Server,
    state: Option<String>,
    node: Option<String>,
    limit: usize,
) -> Result<ExitCode, String> {
    let mut query = format!("?limit={limit}");
    for (name, value) in [("state", state), ("node", node)] {
        if let Some(value) = value {
            let value =
                percent_encoding::utf8_percent_encode(&value, percent_encoding::NON_ALPHANUMERIC);
            query.push_str(&format!("&{name}={value}"));
        }
    }
    let answer: Value = server.ask(Method::GET, &query, &[]).await?.json().await.map_err(said)?;
    let runs: Vec<Record> =
        serde_json::from_value(answer["runs"].clone()).map_err(|e| e.to_string())?;
    let mut out = io::stdout().lock();
    let line = |out: &mut dyn Write, fields: [&str; 6]| {
        let [id, state, node, took, consumer, operation] = fields;
        writeln!(out, "{id:36}  {state:9}  {node:12}  {took:>8}  {consumer:12}  {operation}")
    };
    // Whoever closed the pipe has seen enough.
    let _ = line(&mut out, ["RUN", "STATE", "NODE", "TOOK", "BY", "OPERATION"]);
    for run in runs {
        let fields = [
            &run.id.to_string(),
            run.state.name(),
            run.node.as_deref().unwrap_or("-"),
            &took(&run),
            run.consumer.as_deref().unwrap_or("-"),
            &run.operation,
        ];
        let _ = line(&mut out, fields);
    }
    Ok(ExitCode::SUCCESS)
}

async fn cancel(server: &Server, id: &str) -> Result<ExitCode, String> {
    let answer = server.ask(Method::POST, &format!("/{id}/cancel"), &[]).await?;
    let answer: Value = answer.json().await.map_err(said)?;
    let text = |member: &str| answer[member].as_str().unwrap_or_default().to_owned();
    println!("{}", text("explanation"));
    if !text("note").is_empty() && io::stdout().is_terminal() {
        println!("{}", text("note"));
    }
    Ok(ExitCode::SUCCESS)
}

/// How long a run has been at work, as `1:02:03`.
pub(super) fn took(run: &Record) -> String {
    let Some(started) = run.started else { return "-".to_owned() };
    let took: SignedDuration = run.ended.unwrap_or_else(Timestamp::now).duration_since(started);
    let seconds = took.as_secs().max(0);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}
