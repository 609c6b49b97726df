//! Microbenchmarks: events and log lines, validation of a body, the diff of live status, the copy of
//! a playbook tree, and the queue.

use std::fs;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use range42_backend_api::ansible::events::{JobEvent, clean_lines, extract, raw_lines};
use range42_backend_api::ansible::playbooks::{Playbook, Root};
use range42_backend_api::ansible::private_data_dir::{Invocation, PrivateDataDir};
use range42_backend_api::http::body;
use range42_backend_api::live_status::guest::{Guest, Percent};
use range42_backend_api::live_status::snapshot::Snapshot;
use range42_backend_api::operations::OPERATIONS;
use range42_backend_api::runs::claims::Claim;
use range42_backend_api::runs::scheduler::Queue;
use serde_json::{Map, json};
use uuid::Uuid;

/// The number of events of a run on several hosts.
const EVENTS: usize = 500;
/// The number of files in a large playbook repository.
const FILES: usize = 5000;
/// The number of guests on a node of a large range.
const GUESTS: u64 = 200;

fn events() -> Vec<JobEvent> {
    let event = |number: usize| {
        json!({
            "counter": number, "event": "runner_on_ok",
            "stdout": format!("\u{1b}[0;32mok: [host-{number}] => {{\r\n    \"vm_list\": []\r\n}}\u{1b}[0m"),
            "event_data": { "host": "px-testing", "task": "list", "res": { "vm_list": [{ "vm_id": number }] } },
        })
    };
    (0..EVENTS).map(|number| serde_json::from_value(event(number)).expect("an event")).collect()
}

fn reading_events(criterion: &mut Criterion) {
    let events = events();
    criterion.bench_function("extract from 500 events", |b| {
        b.iter(|| extract(black_box(&events), "vm_list"))
    });
    let printed = || events.iter().filter_map(|event| event.stdout.as_deref());
    criterion.bench_function("log lines of 500 events", |b| {
        b.iter(|| {
            let kept: Vec<String> = printed().flat_map(|text| raw_lines(black_box(text))).collect();
            clean_lines(&kept)
        })
    });
}

fn checking_a_body(criterion: &mut Criterion) {
    let mut create = OPERATIONS.iter().filter(|row| row.path.ends_with("/vm_id/create"));
    let request = create.next().and_then(|row| row.request).expect("the operation has a body");
    let rule = body::Rule::of(&request);
    let good = br#"{"proxmox_node":"px-testing","vm_id":"4200","vm_name":"box","vm_cpu":"host","vm_cores":2,"vm_sockets":1,"vm_memory":2048}"#;
    let bad = br#"{"proxmox_node":"a b","vm_id":{},"vm_cores":"x"}"#;
    let check = |bytes: &[u8]| body::check(&rule, Some("application/json"), bytes).is_ok();
    criterion.bench_function("check a valid body", |b| b.iter(|| check(black_box(good))));
    criterion
        .bench_function("check a body with seven errors", |b| b.iter(|| check(black_box(bad))));
}

fn comparing_guests(criterion: &mut Criterion) {
    let guest = |vmid: u64, share: f64| Guest {
        vmid,
        name: format!("guest-{vmid}"),
        status: "running".to_owned(),
        cpu: Percent::from_fraction(share),
        mem: 1 << 30,
        maxmem: 2 << 30,
        uptime: 3600,
        template: 0,
        tags: "student".to_owned(),
        node: None,
        guest_type: None,
    };
    let list = |share: f64| -> Vec<Guest> {
        (0..GUESTS).map(|n| guest(n, if n % 20 == 0 { share } else { 0.1 })).collect()
    };
    let lists = [list(0.2), list(0.8)];
    let (mut snapshot, mut turn) = (Snapshot::default(), 0);
    criterion.bench_function("diff of 200 guests, of which 10 changed", |b| {
        b.iter(|| {
            turn += 1;
            snapshot.apply(black_box(lists[turn % 2].clone()))
        })
    });
}

fn copying_a_tree(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a folder");
    let (public, inventory, runs) =
        (dir.path().join("public"), dir.path().join("inventory"), dir.path().join("runs"));
    for number in 0..FILES {
        let folder = public.join(format!("bundles/bundle-{:03}/tasks", number / 20));
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(format!("{number}.yml")), "- ansible.builtin.ping:\n".repeat(20))
            .expect("a file");
    }
    fs::write(public.join("bundles/bundle-000/main.yml"), "[]").expect("a file");
    fs::create_dir_all(&inventory).expect("a folder");
    fs::write(inventory.join("hosts.yml"), "all: {}").expect("a file");
    fs::create_dir_all(&runs).expect("a folder");
    let playbook =
        Playbook { root: Root::Bundles, tree: public, path: "bundles/bundle-000/main.yml".into() };
    let invocation =
        Invocation { playbook, inventory, limit: None, tags: None, extra_vars: Map::new() };
    let mut group = criterion.benchmark_group("a playbook tree of 5,000 files");
    group.sample_size(10);
    group.bench_function("copy and remove", |b| {
        b.iter(|| {
            PrivateDataDir::create(&runs, "bench", &invocation, &Map::new()).expect("a workdir")
        });
    });
    group.finish();
}

/// Enters a run of 1,000 guests behind 100 others, which all claim the same guests.
fn queuing_a_run(criterion: &mut Criterion) {
    let guest = |id: u32| Claim::Guest { node: "px".to_owned(), id: id.to_string(), group: None };
    let claims: Vec<Claim> = (0..1000).map(guest).collect();
    let mut queue = Queue::new(4, 1000);
    for number in 0..100 {
        queue.enter(Uuid::from_u128(number), None, claims.clone()).expect("there is room");
    }
    let last = Uuid::from_u128(1000);
    criterion.bench_function("queue a run of 1,000 guests behind 100 others", |b| {
        b.iter(|| {
            let entered = queue.enter(last, None, black_box(claims.clone()));
            let positions = queue.positions().len();
            queue.leave(last);
            (entered, positions)
        })
    });
}

criterion_group!(
    benches,
    reading_events,
    checking_a_body,
    comparing_guests,
    copying_a_tree,
    queuing_a_run
);
criterion_main!(benches);
