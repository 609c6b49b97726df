//! Many clients, slow clients, dead clients, and shutdown.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStderr, Command, Stdio};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::wait;
use crate::ws_status::dashboard::{Dashboard, Got, Server};
use crate::ws_status::demo::DemoProxmox;

#[tokio::test(flavor = "multi_thread")]
async fn one_poller_serves_all_clients_and_stops_after_the_last() {
    let demo = DemoProxmox::start();
    let named = format!("?node={}", demo.ready("node"));
    let server = Server::start(&demo.inventory(), &[("RANGE42_WS_POLL_SECONDS", "600")]).await;
    let mut first = server.dashboard("").await;
    first.expect("full").await;
    // A new client gets the current state immediately, without a request to Proxmox.
    let mut others = join_all((0..20).map(|_| server.dashboard(&named))).await;
    for dashboard in &mut others {
        dashboard.expect("full").await;
    }
    assert_eq!(demo.requests().await.len(), 1);

    let mut server = Binary::start(&demo.inventory(), "");
    let mut last = server.dashboard(&named).await;
    last.expect("full").await;
    drop(last);
    let ended = |line: &Result<String, _>| line.as_ref().unwrap().contains("no clients");
    assert!(server.log.any(|line| ended(&line)));
    // A poller of all nodes uses another request, and shows that time passes.
    demo.forget_requests().await;
    let mut all = server.dashboard("?node=*").await;
    all.expect("full").await;
    demo.wait_for_requests(3).await;
    let asked = demo.requests().await;
    assert!(!asked.iter().any(|path| path.contains(demo.ready("node"))), "{asked:?}");
}

/// A thousand clients, ten of which never read.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_clients_cause_one_request_per_poll() {
    const ALL: usize = 1000;
    const DEAF: usize = 10;
    let demo = DemoProxmox::start();
    let settings = [("RANGE42_WS_POLL_SECONDS", "0.5"), ("RANGE42_WS_PING_SECONDS", "2")];
    let server = Server::start(&demo.inventory(), &settings).await;
    let deaf = join_all((0..DEAF).map(|_| Dashboard::connect_narrow(server.address))).await;
    let mut reading = Vec::new();
    for _ in 0..(ALL - DEAF) / 90 {
        reading.extend(join_all((0..90).map(|_| server.dashboard(""))).await);
    }
    assert_eq!(server.clients().await, ALL);
    // From here on they all read continuously, as pings must be answered.
    let (told, mut news) = tokio::sync::mpsc::unbounded_channel();
    for mut dashboard in reading {
        let told = told.clone();
        tokio::spawn(async move {
            loop {
                let got = dashboard.next_without_timeout().await;
                let end = !matches!(got, Got::Message(_));
                if told.send(got).is_err() || end {
                    return;
                }
            }
        });
    }
    let mut all_get = async |kind: &str| -> Vec<Value> {
        wait::within(async {
            let mut messages = Vec::new();
            while messages.len() < ALL - DEAF {
                match news.recv().await.unwrap() {
                    Got::Message(message) if message["type"] == kind => messages.push(message),
                    other => panic!("{other:?}"),
                }
            }
            messages
        })
        .await
    };
    all_get("full").await;
    for cpu in [0.2, 0.4, 0.6] {
        demo.measure(1000, json!({ "cpu": cpu })).await;
        let diffs = all_get("diff").await;
        assert!(diffs.iter().all(|diff| *diff == diffs[0]));
        assert_eq!(diffs[0]["changes"]["1000"]["cpu"].as_f64().unwrap(), cpu * 100.0);
    }
    // Only clients that do not answer pings are disconnected.
    server.has_clients(ALL - DEAF).await;
    // One request per poll. The latest one may not be counted yet.
    let (polls, requests) = (server.polls("ok").await, demo.requests().await.len());
    assert!((polls..=polls + 1).contains(&requests), "{requests} requests for {polls} polls");
    drop(deaf);
}

/// Changes all guests and waits for the next poll, so that a message large enough to fill a small
/// buffer is sent. Returns false if polling stops instead, with the last client.
async fn changed(demo: &DemoProxmox, server: &Server, turn: u32) -> bool {
    let cpu = f64::from(turn % 2) * 0.5 + 0.1;
    join_all(BUSY.map(|vmid| demo.measure(vmid, json!({ "cpu": cpu })))).await;
    let before = server.polls("ok").await;
    wait::eventually(async || {
        if server.clients().await == 0 {
            return Ok(false);
        }
        // The first poll may have started before the change.
        let polls = server.polls("ok").await;
        if polls >= before + 2 { Ok(true) } else { Err(format!("{polls} polls")) }
    })
    .await
}

const BUSY: [u32; 6] = [1000, 1001, 1002, 1010, 1020, 1021];

/// Gives some VMs as many tags as Proxmox allows, so that few messages fill the buffers.
async fn make_messages_long(demo: &DemoProxmox) {
    let tags: Vec<_> = (0..250).map(|number| format!("exercise-{number:05}")).collect();
    for vmid in BUSY {
        let path = format!("qemu/{vmid}/config");
        demo.ask(reqwest::Method::PUT, &path, &[("tags", &tags.join(";"))]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_is_disconnected() {
    let demo = DemoProxmox::start();
    let settings = [("RANGE42_WS_SEND_LIMIT_SECONDS", "1"), ("RANGE42_WS_PING_SECONDS", "600")];
    let server = Server::start(&demo.inventory(), &settings).await;
    make_messages_long(&demo).await;
    let _deaf = Dashboard::connect_narrow(server.address).await;
    server.has_clients(1).await;
    let mut turn = 0;
    while changed(&demo, &server, turn).await {
        turn += 1;
        assert!(turn < 10_000, "it is kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_gets_a_new_full_message() {
    let demo = DemoProxmox::start();
    let settings = [("RANGE42_WS_SEND_LIMIT_SECONDS", "60"), ("RANGE42_WS_POLL_SECONDS", "0.05")];
    let server = Server::start(&demo.inventory(), &settings).await;
    make_messages_long(&demo).await;
    let mut slow = Dashboard::connect_narrow(server.address).await;
    let mut quick = server.dashboard("").await;
    quick.expect("full").await;
    for turn in 0..20 {
        assert!(changed(&demo, &server, turn).await);
    }

    // It gets a few old diffs from the buffers, then a full message, and then the current state.
    slow.expect("full").await;
    let mut steps = 0;
    let everything = loop {
        match slow.next().await {
            Got::Message(message) if message["type"] == "full" => break message,
            Got::Message(_) => steps += 1,
            other => panic!("{other:?}"),
        }
    };
    assert!(steps < 10, "{steps} old steps");
    // The first mark may be part of another full message; the second one is the same diff for both,
    // since nothing else changes.
    let is_first = |message: &Value| message.to_string().contains("99.0");
    demo.measure(1003, json!({ "cpu": 0.99 })).await;
    for dashboard in [&mut slow, &mut quick] {
        dashboard.until(is_first).await;
    }
    demo.measure(1003, json!({ "cpu": 0.5 })).await;
    let step = quick.expect("diff").await;
    assert_eq!(step["changes"].as_object().unwrap().len(), 1);
    assert_eq!(slow.expect("diff").await, step);
    assert_eq!(everything["vms"].as_array().unwrap().len(), 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_disconnect_only_unresponsive_clients() {
    let demo = DemoProxmox::start();
    let server = Server::start(&demo.inventory(), &[("RANGE42_WS_PING_SECONDS", "1")]).await;
    let mut living = server.dashboard("").await;
    let mut dead = server.dashboard("").await;
    living.expect("full").await;
    server.has_clients(2).await;
    // Pongs are sent by reading. Two pings remain unanswered; instead of the third, the connection
    // is closed.
    let closed = wait::until("closed", async || {
        let mut bytes = [0; 65_536];
        let length = dead.socket.get_ref().peek(&mut bytes).await.unwrap();
        let is_close = |frame: &[u8]| frame[0] == 0x88 && frame[2..] == 1011_u16.to_be_bytes();
        bytes[..length].windows(4).any(is_close)
    });
    tokio::select! {
        got = living.next_without_timeout() => panic!("{got:?}"),
        () = closed => {}
    }
    assert!(matches!(dead.next().await, Got::Message(_)));
    assert_eq!(dead.next().await, Got::Closed(1011));
    server.has_clients(1).await;
    demo.measure(1000, json!({ "cpu": 0.5 })).await;
    living.expect("diff").await;
}

/// The server binary with its own directory.
struct Binary {
    process: Child,
    address: std::net::SocketAddr,
    log: Lines<BufReader<ChildStderr>>,
    _folder: tempfile::TempDir,
}

impl Binary {
    /// Starts it from a shell with these `limits`.
    fn start(inventory: &str, limits: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("inventory")).unwrap();
        std::fs::write(folder.path().join("inventory/hosts.yml"), inventory).unwrap();
        let mut process = Command::new("sh")
            .args(["-c", &format!("{limits}exec \"$0\"")])
            .arg(env!("CARGO_BIN_EXE_range42-backend-api"))
            .env_clear()
            .env("PROJECT_ROOT_DIR", folder.path())
            .env("HOST", "127.0.0.1")
            .env("PORT", "0")
            .env("RANGE42_LOG_FORMAT", "json")
            .env("RANGE42_WS_POLL_SECONDS", "0.1")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let is_ready = |line: &Result<String, _>| line.as_ref().unwrap().contains("\"ready\"");
        let ready: Value = serde_json::from_str(&log.find(is_ready).unwrap().unwrap()).unwrap();
        let address = ready["address"].as_str().unwrap().parse().unwrap();
        Self { process, address, log, _folder: folder }
    }

    async fn dashboard(&self, query: &str) -> Dashboard {
        wait::within(Dashboard::connect(self.address, query, &[])).await.unwrap()
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// On SIGTERM, the binary closes connections with 1001. It warns once that certificates are not
/// verified, regardless of the number of connections.
#[tokio::test(flavor = "multi_thread")]
async fn shutdown_closes_clients_and_unverified_tls_is_logged_once() {
    let demo = DemoProxmox::start();
    let inventory = demo.inventory();
    let is_about_certificates = |line: &&str| line.contains("_ca_file") || line.contains("_certs");
    let lines: Vec<_> = inventory.lines().filter(|line| !is_about_certificates(line)).collect();
    let mut server = Binary::start(&lines.join("\n"), "");
    let mut clients = Vec::new();
    for query in ["", "?node=*", "?type=all"] {
        let mut client = server.dashboard(query).await;
        client.expect("full").await;
        clients.push(client);
    }
    let pid = rustix::process::Pid::from_raw(server.process.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    for mut client in clients {
        assert_eq!(client.next().await, Got::Closed(1001));
    }
    assert!(server.process.wait().unwrap().success());
    let lines = server.log.by_ref().map(Result::unwrap);
    assert_eq!(lines.filter(|l| l.contains("certificate") && l.contains("WARN")).count(), 1);
}

/// The default soft limit is 1024 open files; programs that need more are expected to raise it to
/// the hard limit (systemd.exec(5), `LimitNOFILE=`).
#[tokio::test(flavor = "multi_thread")]
async fn the_soft_limit_of_open_files_does_not_limit_clients() {
    let demo = DemoProxmox::start();
    let server = Binary::start(&demo.inventory(), "ulimit -S -n 40; ");
    let mut clients = join_all((0..60).map(|_| server.dashboard(""))).await;
    for client in &mut clients {
        client.expect("full").await;
    }
}
