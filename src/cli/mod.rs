//! The commands of the command line.

mod follow;
mod runs;

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use reqwest::StatusCode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub use crate::cli::runs::{RunsCommand, runs};

use crate::config::{LogFormat, Settings};
use crate::generate::curl_scripts::{Script, scripts};
use crate::generate::kong::{self, KongSettings};
use crate::generate::openapi as document;
use crate::http::server::serve as run_server;

/// How long a health check may take. The container's health check allows 5 s (Dockerfile).
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs the server until it is shut down by a signal.
///
/// # Blocking
///
/// As long as the server runs.
pub fn serve(settings: Settings) -> ExitCode {
    start_log(&settings);
    allow_open_files();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let served = runtime.block_on(run_server(settings));
    // A thread that is blocked by a broken disk must not block the exit.
    runtime.shutdown_timeout(Duration::from_secs(5));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Raises the soft limit of open files to the hard limit. Each connection is an open file, and the
/// soft limit is usually 1024, for programs that use `select(2)`.
fn allow_open_files() {
    let limits = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limits.maximum, maximum: limits.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, limit = limits.current, "cannot raise the limit of open files");
    }
}

fn start_log(settings: &Settings) {
    let levels = settings.log.clone();
    // No colors unless the log goes to a terminal.
    let lines = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match settings.log_format {
        LogFormat::Text => lines.with_target(false).finish().with(levels).init(),
        LogFormat::Json => {
            // The list of spans includes the current one.
            let lines = lines.json().flatten_event(true).with_current_span(false);
            lines.with_target(false).finish().with(levels).init();
        }
    }
}

fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("range42-backend-api: {error}");
    ExitCode::FAILURE
}

/// The arguments of `openapi`.
#[derive(clap::Args)]
pub struct OpenapiArguments {
    /// Version of OpenAPI.
    #[arg(long, value_enum, default_value = "3.1")]
    version: document::Version,
    /// Compare with the committed openapi.json instead, and fail if it differs.
    #[arg(long, conflicts_with = "version")]
    check: bool,
}

/// Prints the OpenAPI document, or compares it with the committed one.
///
/// # Blocking
///
/// Reads the committed document and writes to standard output.
pub fn openapi(arguments: &OpenapiArguments) -> ExitCode {
    let text = document::text(arguments.version);
    if arguments.check {
        return compare("openapi.json", "openapi", &text);
    }
    print!("{text}");
    ExitCode::SUCCESS
}

/// Compares a committed file with the present output of `command`.
fn compare(file: &str, command: &str, text: &str) -> ExitCode {
    match std::fs::read_to_string(file) {
        Ok(committed) if committed == text => ExitCode::SUCCESS,
        Ok(_) => failed(&format!("{file} is out of date, update it with `{command} > {file}`")),
        Err(error) => failed(&format!("{file}: {error}")),
    }
}

/// The arguments of `kong`.
#[derive(clap::Args)]
pub struct KongArguments {
    /// URL at which Kong reaches the server.
    #[arg(long, default_value = "http://api:8000")]
    upstream: String,
    /// File of consumers, one per line: name, group (admin or viewer), key. `-` reads standard
    /// input.
    #[arg(long)]
    consumers: Option<PathBuf>,
    /// Compare with the committed kong/kong.yml instead, and fail if it differs.
    #[arg(long)]
    check: bool,
}

/// Prints the configuration of Kong, or compares it with the committed one.
///
/// # Blocking
///
/// Reads the committed configuration or the consumers, and writes to standard output.
pub fn kong(settings: &Settings, arguments: &KongArguments) -> ExitCode {
    if arguments.check {
        return compare("kong/kong.yml", "kong", &kong::text(&KongSettings::default()));
    }
    let consumers = match &arguments.consumers {
        None => Ok(Vec::new()),
        Some(file) => consumers_file(file)
            .map_err(|e| e.to_string())
            .and_then(|text| kong::consumers(&text))
            .map_err(|e| format!("{}: {e}", file.display())),
    };
    match consumers {
        Ok(consumers) => {
            let upstream = arguments.upstream.clone();
            let settings =
                KongSettings { upstream, consumers, ..KongSettings::from_settings(settings) };
            print!("{}", kong::text(&settings));
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error),
    }
}

/// The arguments of `curl-scripts`.
#[derive(clap::Args)]
pub struct CurlScriptsArguments {
    /// Folder for the scripts.
    #[arg(default_value = "curl_utils")]
    folder: PathBuf,
    /// Compare with the scripts in the folder instead, and fail if they differ.
    #[arg(long)]
    check: bool,
}

/// Writes the curl scripts, or compares them with those in the folder.
///
/// # Blocking
///
/// Reads, removes and writes files.
pub fn curl_scripts(arguments: &CurlScriptsArguments) -> ExitCode {
    let folder = &arguments.folder;
    let done = if arguments.check { check_scripts(folder) } else { write_scripts(folder) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("{}: {error}", folder.display())),
    }
}

fn write_scripts(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for name in committed_scripts(folder)? {
        fs::remove_file(folder.join(name))?;
    }
    for Script { name, text } in scripts() {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o755);
        options.open(folder.join(name))?.write_all(text.as_bytes())?;
    }
    Ok(())
}

fn check_scripts(folder: &Path) -> io::Result<()> {
    let mut stray = committed_scripts(folder)?;
    let mut stale = Vec::new();
    for Script { name, text } in scripts() {
        if fs::read_to_string(folder.join(&name)).ok() != Some(text) {
            stale.push(name.clone());
        }
        stray.retain(|found| *found != name);
    }
    stale.extend(stray);
    if stale.is_empty() {
        return Ok(());
    }
    let stale = stale.join(", ");
    Err(io::Error::other(format!("out of date: {stale}; update them with `curl-scripts`")))
}

/// Returns the file names of the scripts in the folder.
fn committed_scripts(folder: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().into_string()));
    let names: Vec<_> = names.collect::<io::Result<_>>()?;
    Ok(names.into_iter().flatten().filter(|name| name.ends_with(".sh")).collect())
}

fn consumers_file(file: &Path) -> io::Result<String> {
    match file.to_str() {
        Some("-") => io::read_to_string(io::stdin()),
        _ => std::fs::read_to_string(file),
    }
}

/// Checks whether the local server is alive.
///
/// # Blocking
///
/// Until the server responds, for at most 2 s.
pub fn healthcheck(settings: &Settings) -> ExitCode {
    let host = local_host(settings);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(runs::health(&local_url(settings), HEALTH_TIMEOUT)) {
        Ok(response) if response.status() == StatusCode::OK => ExitCode::SUCCESS,
        Ok(response) => failed(&format!("the server responded with {}", response.status())),
        Err(error) => failed(&format!("{host}:{}: {error}", settings.port)),
    }
}

/// Returns the host of the local server, which is the loopback address if it listens on all.
fn local_host(settings: &Settings) -> &str {
    match settings.host.as_str() {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    }
}

fn local_url(settings: &Settings) -> String {
    match local_host(settings) {
        host if host.contains(':') => format!("http://[{host}]:{}", settings.port),
        host => format!("http://{host}:{}", settings.port),
    }
}
