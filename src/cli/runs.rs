//! `runs list`, `runs follow` and `runs cancel`: a client of the API for the terminal.

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

/// How long the server may take to connect and to send the head of a response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// The arguments of `runs`.
#[derive(Args)]
pub struct RunsCommand {
    #[command(subcommand)]
    action: Action,
    /// URL of the server [default: the local server, from HOST and PORT]
    #[arg(long, global = true)]
    server: Option<String>,
}

#[derive(Subcommand)]
enum Action {
    /// List runs, newest first.
    List {
        /// Only runs in these states, separated by commas.
        #[arg(long)]
        state: Option<String>,
        /// Only runs on this node.
        #[arg(long)]
        node: Option<String>,
        /// Maximum number of runs.
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Print the log of a run until the run ends. The exit code is 0 if the run succeeded.
    Follow {
        /// Id of the run.
        id: String,
    },
    /// Cancel a run.
    Cancel {
        /// Id of the run.
        id: String,
    },
}

/// Runs a `runs` command.
///
/// # Blocking
///
/// Until the server responds, or the followed run ends.
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

/// A connection to the API of a server.
pub(super) struct Server {
    url: String,
    http: Client,
    /// The gateway's secret, without which a server behind a gateway rejects requests.
    secret: Option<String>,
}

impl Server {
    fn new(url: String, secret: Option<String>) -> Result<Self, String> {
        let http = client(RESPONSE_TIMEOUT)?;
        Ok(Self { url: url.trim_end_matches('/').to_owned(), http, secret })
    }

    /// Sends a request to a path below [`PATH`].
    ///
    /// # Errors
    ///
    /// If there is no response, or its status is not a success. The error is the response's `detail`.
    pub(super) async fn send(
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
        let response = tokio::time::timeout(RESPONSE_TIMEOUT, request.send()).await;
        let response = response.map_err(|_| "the server does not respond".to_owned())?;
        let response = response.map_err(root_cause)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body: Value = response.json().await.unwrap_or_default();
        Err(body["detail"].as_str().map_or_else(|| status.to_string(), str::to_owned))
    }
}

fn client(connect_timeout: Duration) -> Result<Client, String> {
    // reqwest requires a crypto provider even for plain HTTP.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().connect_timeout(connect_timeout).build().map_err(root_cause)
}

/// Requests the liveness endpoint of a server, which needs no gateway secret.
///
/// # Errors
///
/// If there is no response within `timeout`.
pub(super) async fn health(url: &str, timeout: Duration) -> Result<Response, String> {
    let request = client(timeout)?.get(format!("{url}{}", health::LIVENESS_PATH)).timeout(timeout);
    request.send().await.map_err(root_cause)
}

/// Returns the innermost cause of an error, which says what happened.
fn root_cause(error: reqwest::Error) -> String {
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
    let response: Value =
        server.send(Method::GET, &query, &[]).await?.json().await.map_err(root_cause)?;
    let runs: Vec<Record> =
        serde_json::from_value(response["runs"].clone()).map_err(|e| e.to_string())?;
    let mut out = io::stdout().lock();
    let line = |out: &mut dyn Write, fields: [&str; 6]| {
        let [id, state, node, duration, consumer, operation] = fields;
        writeln!(out, "{id:36}  {state:9}  {node:12}  {duration:>8}  {consumer:12}  {operation}")
    };
    // A closed pipe is not an error: the reader has seen enough.
    let _ = line(&mut out, ["RUN", "STATE", "NODE", "TOOK", "BY", "OPERATION"]);
    for run in runs {
        let fields = [
            &run.id.to_string(),
            run.state.name(),
            run.node.as_deref().unwrap_or("-"),
            &duration(&run),
            run.consumer.as_deref().unwrap_or("-"),
            &run.operation,
        ];
        let _ = line(&mut out, fields);
    }
    Ok(ExitCode::SUCCESS)
}

async fn cancel(server: &Server, id: &str) -> Result<ExitCode, String> {
    let response = server.send(Method::POST, &format!("/{id}/cancel"), &[]).await?;
    let response: Value = response.json().await.map_err(root_cause)?;
    let text = |member: &str| response[member].as_str().unwrap_or_default().to_owned();
    println!("{}", text("explanation"));
    if !text("note").is_empty() && io::stdout().is_terminal() {
        println!("{}", text("note"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns how long a run has been running, as `1:02:03`.
pub(super) fn duration(run: &Record) -> String {
    let Some(started) = run.started else { return "-".to_owned() };
    let duration: SignedDuration = run.ended.unwrap_or_else(Timestamp::now).duration_since(started);
    let seconds = duration.as_secs().max(0);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}
