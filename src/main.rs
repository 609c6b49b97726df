//! The command line of the Range42 backend API.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use range42_backend_api::cli;
use range42_backend_api::config::Settings;

/// The backend API of Range42.
///
/// Without a command, serves the API. Settings are environment variables, listed in README.md.
#[derive(Parser)]
#[command(version)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API (the default).
    Serve,
    /// Print the OpenAPI document.
    Openapi(cli::OpenapiArguments),
    /// Print the configuration of Kong.
    Kong(cli::KongArguments),
    /// Write the curl scripts, one per operation.
    CurlScripts(cli::CurlScriptsArguments),
    /// Check whether the local server is alive; the exit code is 0 if it is.
    Healthcheck,
    /// List, follow and cancel runs.
    Runs(cli::RunsCommand),
}

fn main() -> ExitCode {
    let command = CommandLine::parse().command.unwrap_or(Command::Serve);
    let settings = match Settings::from_env() {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("range42-backend-api: {error}");
            // EX_USAGE of sysexits.h, so that service managers do not restart the server.
            return ExitCode::from(64);
        }
    };
    match command {
        Command::Serve => cli::serve(settings),
        Command::Openapi(arguments) => cli::openapi(&arguments),
        Command::Kong(arguments) => cli::kong(&settings, &arguments),
        Command::CurlScripts(arguments) => cli::curl_scripts(&arguments),
        Command::Healthcheck => cli::healthcheck(&settings),
        Command::Runs(command) => cli::runs(&settings, command),
    }
}
