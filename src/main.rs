//! The command line of the Range42 backend API.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use range42_backend_api::cli;
use range42_backend_api::config::Settings;

/// The backend API of Range42. Without a command it serves; all settings are environment
/// variables, listed in README.md.
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
    /// Print the gateway's configuration for Kong.
    Kong(cli::KongArguments),
    /// Write the curl scripts, one for each operation.
    CurlScripts(cli::CurlScriptsArguments),
    /// Ask the server of this machine for its document; the exit code says whether it answered.
    Healthcheck,
    /// List, follow and cancel the runs of the server of this machine.
    Runs(cli::RunsCommand),
}

fn main() -> ExitCode {
    let command = CommandLine::parse().command.unwrap_or(Command::Serve);
    let settings = match Settings::from_env() {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("range42-backend-api: {error}");
            // EX_USAGE of sysexits.h, which service managers show as a configuration error.
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
