//! The warm engine: it gives the same results as processes, isolates jobs from each other, and
//! tolerates a fork server that dies, is replaced or is missing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::demo::{self, DemoProxmox, root, venv};
use crate::support::internals::{
    Engine, Job, LaunchError, Launched, Stop, WarmEngine, end_processes, identify,
};
use crate::support::server::Client;
use crate::support::stub::write;
use crate::support::wait;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

/// Runs a Python program of tests/engine, which prints the differences.
fn passes(program: &str) {
    let done = Command::new(venv("python"))
        .arg(root().join("tests/engine").join(program))
        .env("ANSIBLE_RUNNER", venv("ansible-runner"))
        .output()
        .unwrap();
    let said = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(done.status.success(), "{}", said.concat());
    println!("{}", said.concat());
}

#[test]
fn both_engines_leave_the_same_artifacts() {
    passes("parity.py");
}

#[test]
fn jobs_are_isolated_from_each_other() {
    passes("isolation.py");
}

const PLAY: &str = "
- hosts: all
  gather_facts: false
  tasks:
    - pause: {seconds: 1}
      when: slow | default(false)
    - debug: {msg: hello}
";

struct Jobs {
    dir: TempDir,
    engine: WarmEngine,
}

impl Jobs {
    /// An engine with its own copy of the fork server, so that a test can change it.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for file in fs::read_dir(root().join("engine/forkserver")).unwrap().flatten() {
            if file.path().is_file() {
                let text = fs::read_to_string(file.path()).unwrap();
                write(&dir.path().join("engine/forkserver").join(file.file_name()), &text);
            }
        }
        write(&dir.path().join("engine/warm.py"), include_str!("../../engine/warm.py"));
        let runner = venv("ansible-runner");
        let engine = WarmEngine::new(&runner, dir.path(), dir.path(), false).unwrap();
        Self { dir, engine }
    }

    fn job(&self, slow: bool) -> Job {
        let run_id = Uuid::now_v7().to_string();
        let folder = self.dir.path().join(&run_id);
        let host = "all: {hosts: {one: {ansible_connection: local, \
                    ansible_python_interpreter: '{{ ansible_playbook_python }}'}}}\n";
        write(&folder.join("project/play.yml"), PLAY);
        write(&folder.join("inventory/hosts.yml"), host);
        write(&folder.join("env/extravars"), &format!("{{slow: {slow}}}\n"));
        write(&folder.join("env/envvars"), &format!("{{\"RANGE42_RUN_ID\": \"{run_id}\"}}"));
        Job {
            run_id,
            playbook: PathBuf::from("play.yml"),
            inventory: folder.join("inventory/hosts.yml"),
            private_data_dir: folder,
            limit: Some("one".to_owned()),
            arguments: vec!["-v".to_owned()],
        }
    }

    async fn launch(&self, job: &Job) -> Launched {
        self.engine.launch(job).await.unwrap()
    }

    async fn run(&self) -> Option<i32> {
        let job = self.job(false);
        let code = self.launch(&job).await.ended.await.unwrap();
        assert_eq!(fs::read_to_string(job.artifacts().join("rc")).unwrap(), "0");
        code
    }

    /// Runs one job as a process, which starts the fork server, and waits until that is ready.
    async fn warmed_up() -> Self {
        let jobs = Self::new();
        assert_eq!(
            jobs.engine.describe(),
            "process (warm after the first run; 0 runs warm, 0 as a process)"
        );
        assert_eq!(jobs.run().await, Some(0));
        jobs.described("warm (ansible-core 2.").await;
        jobs
    }

    async fn described(&self, start: &str) {
        wait::eventually(async || {
            let described = self.engine.describe();
            if described.starts_with(start) { Ok(()) } else { Err(described) }
        })
        .await;
    }
}

/// The parent of a process; for a warm job, this is the fork server.
fn parent(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap()
}

fn is_there(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}/environ")).exists()
        && fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| !environ.is_empty())
}

fn kill(pid: u32) {
    signal("-KILL", pid);
}

fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

#[tokio::test]
async fn the_second_run_is_warm_and_the_engine_stops_with_the_server() {
    let jobs = Jobs::warmed_up().await;
    let job = jobs.job(true);
    let launched = jobs.launch(&job).await;
    let server = parent(launched.pid);
    assert_ne!(server, std::process::id());
    wait::until("a process has the run id", async || !commands_with_run_id(&job.run_id).is_empty())
        .await;
    assert_eq!(launched.ended.await.unwrap(), Some(0));
    assert!(jobs.engine.describe().ends_with("; 1 runs warm, 1 as a process)"));
    let events = fs::read_dir(job.artifacts().join("job_events")).unwrap().count();
    assert!(events > 5, "{events} events");
    drop(jobs);
    wait::until("the server exited", async || !is_there(server)).await;
}

/// Warm jobs are found in /proc, as other jobs are.
#[tokio::test]
async fn ending_a_warm_job_ends_all_its_processes() {
    let jobs = Jobs::warmed_up().await;
    let (job, other) = (jobs.job(true), jobs.job(true));
    let sleepers = PLAY.replace("pause: {seconds: 1}", "shell: setsid sleep 300 & sleep 300");
    write(&job.private_data_dir.join("project/play.yml"), &sleepers);
    let (launched, unharmed) = (jobs.launch(&job).await, jobs.launch(&other).await);
    let is_sleep = |command: &&String| command.starts_with("sleep\0");
    let sleeping = || commands_with_run_id(&job.run_id).iter().filter(is_sleep).count() == 2;
    wait::until("both sleep", async || sleeping()).await;
    let (root, run_id) = (identify(launched.pid), job.run_id.clone());
    let gently = tokio::sync::watch::channel(Stop::Gently).1;
    tokio::task::spawn_blocking(move || end_processes(&run_id, root, &gently)).await.unwrap();
    assert_eq!(commands_with_run_id(&job.run_id), Vec::<String>::new());
    launched.ended.await.unwrap();
    assert_eq!(unharmed.ended.await.unwrap(), Some(0));
    assert_eq!(jobs.run().await, Some(0));
    assert!(jobs.engine.describe().contains("3 runs warm"), "{}", jobs.engine.describe());
}

#[tokio::test]
async fn a_job_survives_if_its_fork_server_is_killed() {
    let jobs = Jobs::warmed_up().await;
    let job = jobs.job(true);
    let launched = jobs.launch(&job).await;
    kill(parent(launched.pid));
    assert_eq!(
        launched.ended.await.unwrap(),
        None,
        "the exit code is unknown without the fork server"
    );
    assert!(!is_there(launched.pid), "the end of the job was not awaited");
    assert_eq!(fs::read_to_string(job.artifacts().join("rc")).unwrap(), "0");
    assert_eq!(jobs.run().await, Some(0));
    jobs.described("warm (").await;
    assert!(jobs.engine.describe().contains("1 runs warm, 2 as a process"));
}

#[tokio::test]
async fn a_launch_is_uncertain_if_the_fork_server_is_killed_first() {
    let jobs = Jobs::warmed_up().await;
    let first = jobs.job(false);
    let launched = jobs.launch(&first).await;
    let server = parent(launched.pid);
    launched.ended.await.unwrap();
    signal("-STOP", server);
    let job = jobs.job(false);
    let launching = jobs.engine.launch(&job);
    tokio::pin!(launching);
    // Poll once, so that the request is sent to the fork server.
    assert!(futures_util::poll!(&mut launching).is_pending());
    kill(server);
    assert!(matches!(launching.await, Err(LaunchError::Unknown(_))));
    assert_eq!(jobs.run().await, Some(0));
}

#[tokio::test]
async fn a_killed_fork_server_and_the_exit_of_its_jobs_are_detected() {
    let jobs = Jobs::warmed_up().await;
    let (long, short) = (jobs.job(true), jobs.job(true));
    let sleeper = PLAY.replace("pause: {seconds: 1}", "command: sleep 300");
    write(&long.private_data_dir.join("project/play.yml"), &sleeper);
    let release = jobs.dir.path().join("release");
    let waiter = format!("shell: until [ -e {} ]; do sleep 0.1; done", release.display());
    let waiter = PLAY.replace("pause: {seconds: 1}", &waiter);
    write(&short.private_data_dir.join("project/play.yml"), &waiter);
    let (launched, short) = (jobs.launch(&long).await, jobs.launch(&short).await);
    let is_sleep = |command: &String| command.starts_with("sleep\0");
    let sleeping = || commands_with_run_id(&long.run_id).iter().any(is_sleep);
    wait::until("the long job began", async || sleeping()).await;
    kill(parent(launched.pid));
    jobs.described("process (").await;
    assert_eq!(jobs.run().await, Some(0), "the next run does not wait for an answer");
    write(&release, "");
    assert_eq!(short.ended.await.unwrap(), None);
    assert!(sleeping(), "the long job is still running");
    let (root, run_id) = (identify(launched.pid), long.run_id.clone());
    let at_once = tokio::sync::watch::channel(Stop::AtOnce).1;
    tokio::task::spawn_blocking(move || end_processes(&run_id, root, &at_once)).await.unwrap();
    assert_eq!(launched.ended.await.unwrap(), None);
}

#[tokio::test]
async fn an_outdated_fork_server_is_replaced() {
    let jobs = Jobs::warmed_up().await;
    let job = jobs.job(true);
    let launched = jobs.launch(&job).await;
    let server = parent(launched.pid);
    // Compiled files of another Python process make no difference.
    write(&jobs.dir.path().join("engine/forkserver/__pycache__/job.cpython-300.pyc"), "");
    assert_eq!(jobs.run().await, Some(0));
    assert!(jobs.engine.describe().contains("2 runs warm, 1 as a process"));
    let file = jobs.dir.path().join("engine/forkserver/job.py");
    write(&file, &format!("{}# changed\n", fs::read_to_string(&file).unwrap()));
    assert_eq!(jobs.run().await, Some(0));
    assert!(jobs.engine.describe().contains("2 runs warm, 2 as a process"));
    wait::until("the old server exited", async || !is_there(server)).await;
    assert_eq!(launched.ended.await.unwrap(), Some(0), "jobs of the old fork server finish");
    assert_eq!(jobs.run().await, Some(0));
    assert!(jobs.engine.describe().starts_with("warm ("), "{}", jobs.engine.describe());
    assert!(jobs.engine.describe().contains("3 runs warm"));
}

/// The command lines of the processes that have a run's id in their environment.
fn commands_with_run_id(run_id: &str) -> Vec<String> {
    let carries = |folder: &Path| {
        let environ = fs::read(folder.join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&environ).contains(&format!("RANGE42_RUN_ID={run_id}\0"))
    };
    let folders = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let ours = folders.filter(|folder| carries(folder));
    ours.filter_map(|folder| fs::read_to_string(folder.join("cmdline")).ok()).collect()
}

/// The command lines of processes that refer to the directory of this test.
fn processes_in(dir: &Path) -> Vec<String> {
    let own = std::process::id().to_string();
    let others = fs::read_dir("/proc").unwrap().flatten().filter(|p| *p.file_name() != *own);
    let commands = others.filter_map(|p| fs::read_to_string(p.path().join("cmdline")).ok());
    commands.filter(|command| command.contains(dir.to_str().unwrap())).collect()
}

#[tokio::test]
async fn shutdown_interrupts_the_warm_up_and_leaves_no_processes() {
    for warming_up in [true, false] {
        let jobs = Jobs::new();
        let warm_up = jobs.dir.path().join("warm-up");
        assert_eq!(jobs.run().await, Some(0));
        if warming_up {
            wait::until("the warm-up started", async || warm_up.is_dir()).await;
        } else {
            jobs.described("warm (").await;
        }
        assert!(!processes_in(jobs.dir.path()).is_empty());
        jobs.engine.close().await;
        assert_eq!(processes_in(jobs.dir.path()), Vec::<String>::new());
        assert!(!warm_up.exists());
        assert_eq!(jobs.run().await, Some(0), "later jobs run as processes");
        assert_eq!(processes_in(jobs.dir.path()), Vec::<String>::new());
    }
}

#[tokio::test]
async fn runs_fall_back_to_processes_without_a_fork_server() {
    let jobs = Jobs::new();
    write(&jobs.dir.path().join("engine/warm.py"), "raise SystemExit('no such luck')\n");
    for _ in 0..2 {
        assert_eq!(jobs.run().await, Some(0));
    }
    jobs.described("process (not warm: it did not become ready; 0 runs warm, 2").await;
    let stub = jobs.dir.path().join("bin/ansible-runner");
    write(&stub, "#!/bin/sh\n");
    assert!(WarmEngine::new(&stub, root(), jobs.dir.path(), false).is_err());
}

/// The result of a `vms/list` without the uptimes.
fn without_uptime(mut listed: Value) -> Value {
    for guest in listed["result"][0].as_array_mut().unwrap() {
        guest["vm_uptime"].take();
    }
    listed
}

#[tokio::test]
async fn both_engines_give_the_same_responses() {
    // The log has the reason if a run does not use the warm engine. It is printed on failure.
    let log = tracing_subscriber::fmt().with_test_writer().finish();
    let _log = tracing::subscriber::set_default(log);
    let (dir, proxmox) = (tempfile::tempdir().unwrap(), DemoProxmox::start());
    let mut settings = demo::settings(dir.path(), &proxmox.inventory());
    settings.insert("RANGE42_ENGINE".to_owned(), "auto".to_owned());
    let client = Client::new(&settings);
    let list = json!({ "proxmox_node": "px-testing" });
    let post = async |path: &str, body: &Value| {
        let answer = client.json("POST", &format!("/v0/admin/proxmox/vms/{path}"), body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    };
    let engine = async || {
        let ready = client.get("/readyz").await.json();
        let reason = ready["checks"]["runner"]["reason"].as_str().unwrap().to_owned();
        reason.split_once(", engine ").unwrap().1.to_owned()
    };
    let serves = async |engine: &str| {
        let measured = client.get("/metrics").await.text;
        let line = format!("range42_engine_serves{{engine=\"{engine}\"}} 1\n");
        assert!(measured.contains(&line), "{line} in\n{measured}");
    };

    serves("process").await;
    let cold = without_uptime(post("list", &list).await);
    wait::until("the engine is warm", async || engine().await.starts_with("warm (ansible-core"))
        .await;
    serves("warm").await;
    assert_eq!(without_uptime(post("list", &list).await), cold);
    assert!(cold["result"][0].as_array().unwrap().len() > 10);

    let guest = json!({ "proxmox_node": "px-testing", "vm_id": 1003 });
    post("vm_id/start", &guest).await;
    let listed = post("list", &list).await;
    let mut guests = listed["result"][0].as_array().unwrap().iter();
    let started = guests.find(|found| found["vm_id"] == guest["vm_id"]).unwrap();
    assert_eq!(started["vm_status"], "running");
    let described = engine().await;
    assert!(described.contains("; 3 runs warm, 1 as a process)"), "{described}");
}
