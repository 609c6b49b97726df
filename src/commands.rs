//! What the command line does.

use std::process::ExitCode;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use crate::routes::openapi as document;
use crate::serve::serve as run_server;
use crate::settings::{LogFormat, Settings};

/// Serves until it is told to end.
pub fn serve(settings: Settings) -> ExitCode {
    start_log(&settings);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(run_server(settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn start_log(settings: &Settings) {
    let filter = EnvFilter::new(&settings.log);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Text => lines.with_target(false).init(),
        LogFormat::Json => lines.json().flatten_event(true).with_target(false).init(),
    }
}

fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("range42-backend-api: {error}");
    ExitCode::FAILURE
}

/// Prints the OpenAPI document, or compares it with the committed one.
pub fn openapi(check: bool) -> ExitCode {
    let text = document::text();
    if !check {
        print!("{text}");
        return ExitCode::SUCCESS;
    }
    match std::fs::read_to_string("openapi.json") {
        Ok(committed) if committed == text => ExitCode::SUCCESS,
        Ok(_) => failed(&"openapi.json is not current: write it with `openapi > openapi.json`"),
        Err(error) => failed(&format!("openapi.json: {error}")),
    }
}

/// Asks the server of this machine for its document.
pub fn healthcheck(settings: &Settings) -> ExitCode {
    // A server that listens on all addresses answers on the loopback one.
    let host = match settings.host.as_str() {
        "0.0.0.0" => "127.0.0.1",
        "::" => "[::1]",
        host => host,
    };
    let url = format!("http://{host}:{}/docs/openapi.json", settings.port);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let answer = runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(4));
        client.build()?.get(&url).send().await?.error_for_status()
    });
    match answer {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}
