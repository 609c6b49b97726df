//! All settings, read from the environment and validated before the port is bound.
//!
//! Settings are read from a map rather than from the process environment, so that each test can
//! use its own.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use regex::Regex;
use thiserror::Error;
use tracing_subscriber::filter::Targets;

mod gateway;
mod limits;

pub use crate::config::limits::Limits;
pub use gateway::{GatewaySettings, SECRET_HEADER};

/// The default of `CORS_ORIGIN_REGEX`: the local host under each of its three names, on any port.
const LOCAL_ORIGINS: &str = r"^https?://(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]+)?$";

/// An invalid setting. The message is a single line for the terminal of the operator.
#[derive(Debug, Error)]
#[error("{name}: {reason}")]
pub struct SettingsError {
    name: &'static str,
    reason: String,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Human-readable lines.
    Text,
    /// One JSON object per line, for log collectors.
    Json,
}

/// The engine that starts playbook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineChoice {
    /// The warm engine if the runner supports it, stopped when it is idle.
    Auto,
    /// A new process for each run.
    Process,
    /// The warm engine, kept running when it is idle.
    Warm,
}

/// The source of the vault password.
#[derive(Clone, PartialEq, Eq)]
pub enum VaultSource {
    /// `VAULT_PASSWORD_FILE`: an existing file that Ansible reads.
    File(PathBuf),
    /// `VAULT_PASSWORD`: the password, which the service writes to a private file.
    Password(String),
    /// Neither variable is set.
    None,
}

/// The settings of live status.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusSettings {
    /// `RANGE42_WS_MAX_CLIENTS`: maximum number of connections.
    pub max_clients: NonZeroU32,
    /// `RANGE42_WS_POLL_SECONDS`: Proxmox poll interval.
    pub poll_every: Duration,
    /// `RANGE42_WS_POLL_LIMIT_SECONDS`: timeout of a poll.
    pub poll_limit: Duration,
    /// `RANGE42_WS_PING_SECONDS`: ping interval.
    pub ping_every: Duration,
    /// `RANGE42_WS_SEND_LIMIT_SECONDS`: timeout for sending a message to a client.
    pub send_limit: Duration,
}

/// The settings of a server.
#[derive(Clone)]
pub struct Settings {
    /// `PROJECT_ROOT_DIR`, absolute.
    pub project_root: PathBuf,
    /// `API_BACKEND_WWWAPP_PLAYBOOKS_DIR`: the directory that contains `playbooks/generic.yml`.
    pub local_playbooks: PathBuf,
    /// `API_BACKEND_PUBLIC_PLAYBOOKS_DIR`: the directory that contains `bundles/` and `scenarios/`.
    pub public_playbooks: Option<PathBuf>,
    /// `API_BACKEND_INVENTORY_DIR`: the directory that contains `hosts.yml`.
    pub inventory: PathBuf,
    /// `API_BACKEND_VAULT_FILE`: a variables file, passed to every run with `-e @file`.
    pub vars_file: Option<PathBuf>,
    /// `VAULT_PASSWORD_FILE` or `VAULT_PASSWORD`.
    pub vault: VaultSource,
    /// `CORS_ORIGIN_REGEX`, anchored at both ends.
    pub cors_origin: Regex,
    /// `HOST`.
    pub host: String,
    /// `PORT`. With 0, the system chooses a free port, for tests.
    pub port: u16,
    /// `DEBUG`: 422 responses are verbose and logged.
    pub debug: bool,
    /// `RANGE42_LOG`: a level, or levels per module.
    pub log: Targets,
    /// `RANGE42_LOG_FORMAT`.
    pub log_format: LogFormat,
    /// `RANGE42_RUNNER`: the `ansible-runner` executable.
    pub runner: PathBuf,
    /// `RANGE42_DATA_DIR`: the directory for the history of runs and their logs.
    pub data_dir: PathBuf,
    /// `RANGE42_ENGINE`.
    pub engine: EngineChoice,
    /// `RANGE42_RUNS_DIR`: the directory for the private data dirs of running runs.
    pub runs_dir: PathBuf,
    /// `ANSIBLE_ROLES_PATH` as set by the operator. Our own roles follow it.
    pub roles_path: Option<String>,
    /// The `RANGE42_WS_` settings.
    pub status: StatusSettings,
    /// Trusted proxies and the secret of the gateway.
    pub gateway: GatewaySettings,
    /// Limits of time, size and number.
    pub limits: Limits,
}

impl Settings {
    /// Reads the settings from the environment of this process.
    ///
    /// # Errors
    ///
    /// Returns the first invalid setting.
    ///
    /// # Blocking
    ///
    /// Opens the files that settings name.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::from_map(&std::env::vars_os().filter_map(utf8_pair).collect())
    }

    /// Reads the settings from a map. An empty value is treated as unset.
    ///
    /// # Errors
    ///
    /// Returns the first invalid setting.
    ///
    /// # Blocking
    ///
    /// Opens the files that settings name.
    pub fn from_map(env: &HashMap<String, String>) -> Result<Self, SettingsError> {
        let get = |name: &str| env.get(name).map(String::as_str).filter(|v| !v.is_empty());
        let project_root = directory("PROJECT_ROOT_DIR", get("PROJECT_ROOT_DIR").unwrap_or("."))?;
        let below_root =
            |name: &str, default: &str| absolute(&project_root.join(get(name).unwrap_or(default)));
        let data_dir = below_root("RANGE42_DATA_DIR", "data");
        Ok(Self {
            local_playbooks: below_root("API_BACKEND_WWWAPP_PLAYBOOKS_DIR", ""),
            public_playbooks: get("API_BACKEND_PUBLIC_PLAYBOOKS_DIR")
                .map(|dir| absolute(&project_root.join(dir))),
            inventory: below_root("API_BACKEND_INVENTORY_DIR", "inventory"),
            vars_file: get("API_BACKEND_VAULT_FILE")
                .map(|file| readable_file("API_BACKEND_VAULT_FILE", file))
                .transpose()?,
            vault: vault_source(get("VAULT_PASSWORD_FILE"), get("VAULT_PASSWORD"))?,
            cors_origin: origin_regex(get("CORS_ORIGIN_REGEX").unwrap_or(LOCAL_ORIGINS))?,
            host: get("HOST").unwrap_or("0.0.0.0").to_owned(),
            port: number("PORT", get("PORT"), 8000)?,
            debug: get("DEBUG")
                .is_some_and(|v| matches!(v.to_ascii_lowercase().as_str(), "true" | "1" | "yes")),
            log: log_directives(get("RANGE42_LOG").unwrap_or("info"))?,
            log_format: log_format(get("RANGE42_LOG_FORMAT").unwrap_or("text"))?,
            runner: runner(get("RANGE42_RUNNER"), get("PATH"), &project_root)?,
            runs_dir: get("RANGE42_RUNS_DIR")
                .map_or_else(|| data_dir.join("runs"), |dir| absolute(&project_root.join(dir))),
            data_dir,
            gateway: GatewaySettings::from_map(env)?,
            limits: Limits::from_map(env)?,
            engine: engine(get("RANGE42_ENGINE").unwrap_or("auto"))?,
            roles_path: get("ANSIBLE_ROLES_PATH").map(str::to_owned),
            status: status_settings(&get)?,
            project_root,
        })
    }
}

fn utf8_pair((name, value): (std::ffi::OsString, std::ffi::OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.into_string().ok()?))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn directory(name: &'static str, value: &str) -> Result<PathBuf, SettingsError> {
    let path = Path::new(value);
    path.canonicalize()
        .ok()
        .filter(|p| p.is_dir())
        .ok_or_else(|| SettingsError { name, reason: format!("{value:?} is not a directory") })
}

/// Opens the file, because an existing file may be unreadable for the service's user.
fn readable_file(name: &'static str, value: &str) -> Result<PathBuf, SettingsError> {
    let path = absolute(Path::new(value));
    match std::fs::File::open(&path).and_then(|file| file.metadata()) {
        Ok(meta) if meta.is_file() => Ok(path),
        Ok(_) => Err(SettingsError { name, reason: format!("{value:?} is not a file") }),
        Err(e) => Err(SettingsError { name, reason: format!("cannot read {value:?}: {e}") }),
    }
}

fn vault_source(file: Option<&str>, password: Option<&str>) -> Result<VaultSource, SettingsError> {
    Ok(match (file, password) {
        (Some(file), _) => VaultSource::File(readable_file("VAULT_PASSWORD_FILE", file)?),
        (None, Some(password)) => VaultSource::Password(password.to_owned()),
        (None, None) => VaultSource::None,
    })
}

/// The expression must match the whole origin, like in the CORS plugin of Kong. Otherwise,
/// `http://localhost` would also allow `http://localhost.evil.test`.
fn origin_regex(value: &str) -> Result<Regex, SettingsError> {
    Regex::new(&format!("^(?:{value})$")).map_err(|e| SettingsError {
        name: "CORS_ORIGIN_REGEX",
        reason: format!("not a regular expression: {}", last_line(&e.to_string())),
    })
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or(text)
}

fn number<T: std::str::FromStr + std::fmt::Display>(
    name: &'static str,
    value: Option<&str>,
    default: T,
) -> Result<T, SettingsError> {
    let Some(text) = value else { return Ok(default) };
    text.parse().map_err(|_| SettingsError {
        name,
        reason: format!("{text:?} is not a number in the allowed range"),
    })
}

fn status_settings<'a>(
    get: &impl Fn(&str) -> Option<&'a str>,
) -> Result<StatusSettings, SettingsError> {
    let seconds = |name, default, most| seconds(name, get(name), default, most);
    let max_clients = "RANGE42_WS_MAX_CLIENTS";
    Ok(StatusSettings {
        max_clients: number(max_clients, get(max_clients), NonZeroU32::new(2000).expect("not 0"))?,
        poll_every: seconds("RANGE42_WS_POLL_SECONDS", 5.0, 3600.0)?,
        // A single request to Proxmox times out after 30 seconds (proxmox::client).
        poll_limit: seconds("RANGE42_WS_POLL_LIMIT_SECONDS", 10.0, 30.0)?,
        ping_every: seconds("RANGE42_WS_PING_SECONDS", 20.0, 3600.0)?,
        send_limit: seconds("RANGE42_WS_SEND_LIMIT_SECONDS", 10.0, 3600.0)?,
    })
}

/// Parses a duration in seconds, with fractions. Less than 10 ms would be a busy loop.
fn seconds(
    name: &'static str,
    value: Option<&str>,
    default: f64,
    most: f64,
) -> Result<Duration, SettingsError> {
    let seconds: f64 = number(name, value, default)?;
    if (0.01..=most).contains(&seconds) {
        return Ok(Duration::from_secs_f64(seconds));
    }
    Err(SettingsError { name, reason: format!("{seconds} is not between 0.01 and {most} seconds") })
}

fn log_directives(value: &str) -> Result<Targets, SettingsError> {
    value
        .parse()
        .map_err(|e| SettingsError { name: "RANGE42_LOG", reason: format!("{value:?}: {e}") })
}

fn log_format(value: &str) -> Result<LogFormat, SettingsError> {
    match value {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(SettingsError {
            name: "RANGE42_LOG_FORMAT",
            reason: format!("{value:?} is not \"text\" or \"json\""),
        }),
    }
}

fn engine(value: &str) -> Result<EngineChoice, SettingsError> {
    match value {
        "auto" => Ok(EngineChoice::Auto),
        "process" => Ok(EngineChoice::Process),
        "warm" => Ok(EngineChoice::Warm),
        _ => Err(SettingsError {
            name: "RANGE42_ENGINE",
            reason: format!("{value:?} is not \"auto\", \"process\" or \"warm\""),
        }),
    }
}

/// An explicitly named runner must exist. The default one may be missing: the service then starts
/// and reports the missing runner in each response that needs it.
fn runner(
    named: Option<&str>,
    path: Option<&str>,
    project_root: &Path,
) -> Result<PathBuf, SettingsError> {
    if let Some(named) = named {
        return readable_file("RANGE42_RUNNER", named);
    }
    let in_venv = project_root.join(".venv/bin/ansible-runner");
    if in_venv.is_file() {
        return Ok(in_venv);
    }
    let on_path = std::env::split_paths(path.unwrap_or_default())
        .map(|dir| dir.join("ansible-runner"))
        .find(|candidate| candidate.is_file());
    Ok(on_path.unwrap_or(in_venv))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    fn from(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        let env = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Settings::from_map(&env).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_are_relative_to_the_project_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let settings = from(&[("PROJECT_ROOT_DIR", root.to_str().unwrap())]).unwrap();
        assert_eq!(settings.local_playbooks, root);
        assert_eq!(settings.inventory, root.join("inventory"));
        assert_eq!(settings.public_playbooks, None);
        assert_eq!((settings.host.as_str(), settings.port), ("0.0.0.0", 8000));
        assert!(!settings.debug);
        assert_eq!(settings.runner, root.join(".venv/bin/ansible-runner"));
    }

    #[test]
    fn the_log_has_a_level_and_levels_per_module() {
        let log = from(&[("RANGE42_LOG", "warn,range42_backend_api::runs=debug")]).unwrap().log;
        assert!(log.would_enable("range42_backend_api::runs::work", &Level::DEBUG));
        assert!(log.would_enable("range42_backend_api::routes", &Level::WARN));
        assert!(!log.would_enable("range42_backend_api::routes", &Level::INFO));
        let log = from(&[]).unwrap().log;
        assert!(
            log.would_enable("hyper", &Level::INFO) && !log.would_enable("hyper", &Level::DEBUG)
        );
    }

    #[test]
    fn an_invalid_value_is_reported_in_one_line_that_names_the_setting() {
        for (name, value) in [
            ("PROJECT_ROOT_DIR", "/nonexistent"),
            ("PORT", "70000"),
            ("PORT", "eighty"),
            ("CORS_ORIGIN_REGEX", "("),
            ("VAULT_PASSWORD_FILE", "/nonexistent"),
            ("API_BACKEND_VAULT_FILE", "/"),
            ("RANGE42_LOG", "range42=loud"),
            ("RANGE42_LOG_FORMAT", "xml"),
            ("RANGE42_RUNNER", "/nonexistent"),
            ("RANGE42_ENGINE", "fast"),
            ("RANGE42_WS_MAX_CLIENTS", "0"),
            ("RANGE42_WS_MAX_CLIENTS", "many"),
            ("RANGE42_WS_POLL_SECONDS", "0"),
            ("RANGE42_WS_POLL_SECONDS", "NaN"),
            ("RANGE42_WS_POLL_LIMIT_SECONDS", "31"),
            ("RANGE42_WS_PING_SECONDS", "-20"),
            ("RANGE42_WS_SEND_LIMIT_SECONDS", "inf"),
            ("RANGE42_MAX_RUNS", "0"),
            ("RANGE42_RUN_TIME_LIMIT", "1h"),
        ] {
            let text = from(&[(name, value)]).err().expect(name);
            assert!(text.starts_with(name) && !text.contains('\n'), "{text:?}");
        }
    }

    #[test]
    fn the_origin_regex_must_match_the_whole_origin() {
        let settings = from(&[("CORS_ORIGIN_REGEX", "https://ui[.]test")]).unwrap();
        assert!(settings.cors_origin.is_match("https://ui.test"));
        assert!(!settings.cors_origin.is_match("https://ui.test.evil.test"));
    }
}
