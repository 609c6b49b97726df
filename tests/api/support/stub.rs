//! A server whose runner is the stub `stub-runner`.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::internals;
use super::server::Client;

/// The playbooks that operations run; each stub file contains its own path.
pub const PLAYBOOKS: [&str; 2] = ["playbooks/generic.yml", "playbooks/ping.yml"];

/// The inventory, without Proxmox: a group, and a host without one.
const HOSTS: &str = "all: {hosts: {db: }, children: {web: {hosts: {web-1: , web-2: }}}}\n";

/// A server with its own project and the stub as its runner.
pub struct StubServer {
    pub client: Client,
    /// The temporary directory, with the project in `root/`, public playbooks in `public/`, and
    /// `runs/`.
    pub dir: TempDir,
}

impl StubServer {
    /// Starts one, after `change` has modified its files or settings.
    pub fn start(change: impl FnOnce(&Path, &mut HashMap<String, String>)) -> Self {
        let (dir, env) = project(change);
        let server = Self { client: Client::new(&env), dir };
        server.behave(&json!({ "events": [], "lookup_events": [], "rc": 0, "lookup_rc": 0 }));
        server
    }

    /// Sets the results of the runner, and clears the recorded calls.
    pub fn behave(&self, behaviour: &Value) {
        fs::write(self.runs().join("stub.json"), behaviour.to_string()).unwrap();
        let _ = fs::remove_file(self.runs().join("calls.jsonl"));
    }

    /// The recorded calls of the runner.
    pub fn calls(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.runs().join("calls.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Takes the recorded calls of the runner.
    pub fn take_calls(&self) -> Vec<Value> {
        let calls = self.calls();
        let _ = fs::remove_file(self.runs().join("calls.jsonl"));
        calls
    }

    /// The directory of the runs.
    pub fn runs(&self) -> PathBuf {
        self.dir.path().join("runs")
    }
}

/// Creates a project in a temporary directory, and the settings of a server with the stub.
pub fn project(
    change: impl FnOnce(&Path, &mut HashMap<String, String>),
) -> (TempDir, HashMap<String, String>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap();
    for file in PLAYBOOKS {
        write(&path.join("root").join(file), file);
    }
    write(&path.join("root/inventory/hosts.yml"), HOSTS);
    for file in public_playbooks() {
        write(&path.join("public").join(&file), &file);
    }
    fs::create_dir(path.join("runs")).unwrap();
    // The directory of the runner is the first in its PATH, so the stub runs with this interpreter.
    // `python3` can be a slow wrapper, such as that of pyenv.
    let stub = path.join("bin/stub-runner");
    fs::create_dir(path.join("bin")).unwrap();
    symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api/support/stub-runner"), &stub)
        .unwrap();
    symlink(python(), path.join("bin/python3")).unwrap();
    let mut env = HashMap::from([
        ("PROJECT_ROOT_DIR".to_owned(), path.join("root").display().to_string()),
        ("API_BACKEND_PUBLIC_PLAYBOOKS_DIR".to_owned(), path.join("public").display().to_string()),
        ("RANGE42_RUNS_DIR".to_owned(), path.join("runs").display().to_string()),
        ("RANGE42_DATA_DIR".to_owned(), path.join("data").display().to_string()),
        ("RANGE42_RUNNER".to_owned(), stub.display().to_string()),
    ]);
    change(&path, &mut env);
    (dir, env)
}

/// The Python interpreter.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let program = ["-I", "-c", "import sys; print(sys.executable, end='')"];
        let output = Command::new("python3").args(program).output().unwrap();
        PathBuf::from(String::from_utf8(output.stdout).unwrap())
    })
}

/// Writes a file, creating its parent directories.
pub fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The playbooks of the bundle operations, and some bundles and scenarios by name.
fn public_playbooks() -> Vec<String> {
    let named = ["bundles/my_bundle-1", "bundles/ping", "scenarios/demo_lab", "scenarios/lab-2"];
    let named = named.iter().map(|name| format!("{name}/main.yml"));
    let fixed = internals::bundle_files().into_iter().map(|file| format!("bundles/{file}"));
    named.chain(fixed).collect()
}
