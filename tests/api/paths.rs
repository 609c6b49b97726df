//! Paths of bundles and scenarios: what is checked is what is run, even if someone swaps symlinks
//! while a run is prepared.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FileType, Mode};

use crate::support::examples::example;
use crate::support::server::Answer;
use crate::support::stub::{StubServer, write};
use serde_json::{Value, json};

/// The content of the playbook outside the root, which must never run.
const OUTSIDE: &str = "outside of the playbooks dir";
const INSIDE: &str = "inside of the playbooks dir";

async fn run(server: &StubServer, folder: &str, name: &str) -> Answer {
    let name = name.replace('/', "%2F");
    let body = json!({ "proxmox_node": "n", "hosts": null });
    server.client.json("POST", &format!("/v0/admin/run/{folder}/{name}/run"), &body).await
}

/// A server whose public playbooks directory is filled by `furnish`. Next to it, the directory
/// `outside` contains a bundle and a file.
fn server(furnish: impl FnOnce(&Path)) -> StubServer {
    StubServer::start(|dir, _| {
        write(&dir.join("outside/bundle/main.yml"), OUTSIDE);
        furnish(&dir.join("public"));
    })
}

/// Opening a FIFO would block until a writer opens it.
#[tokio::test]
async fn a_fifo_is_rejected_as_playbook_and_vars_file() {
    let server = StubServer::start(|dir, _| {
        let fifo = |path: &str| {
            write(&dir.join(path).with_extension("beside"), "");
            rustix::fs::mknodat(rustix::fs::CWD, dir.join(path), FileType::Fifo, Mode::RWXU, 0)
                .unwrap();
        };
        fifo("public/bundles/p/main.yml");
        fifo("root/inventory/group_vars/pipe.yml");
        symlink("nowhere", dir.join("root/inventory/group_vars/dangling.yml")).unwrap();
    });
    let answer = run(&server, "bundles", "p").await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    let enable = example("firewall/datacenter/enable");
    let body = json!({ "proxmox_api_host": "pve.test" });
    let answer = server.client.json(&enable.method, &enable.path, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[tokio::test]
async fn symlinks_cannot_leave_their_root() {
    let server = server(|public| {
        let bundles = public.join("bundles");
        write(&bundles.join("real/main.yml"), INSIDE);
        symlink("real", bundles.join("linked")).unwrap();
        write(&bundles.join("deep/er/real/main.yml"), INSIDE);
        fs::create_dir(bundles.join("file")).unwrap();
        symlink("../real/main.yml", bundles.join("file/main.yml")).unwrap();

        let outside = public.parent().unwrap().join("outside");
        symlink(outside.join("bundle"), bundles.join("absolute")).unwrap();
        symlink("../../outside/bundle", bundles.join("relative")).unwrap();
        fs::create_dir(bundles.join("away")).unwrap();
        symlink(outside.join("bundle/main.yml"), bundles.join("away/main.yml")).unwrap();
        symlink("linked-twice", bundles.join("linked-twice")).unwrap();
        symlink("absolute", bundles.join("link-to-link")).unwrap();
        // A scenario is not a bundle, not even through a symlink.
        symlink("../bundles/real", public.join("scenarios/a-bundle")).unwrap();
        fs::create_dir_all(bundles.join("folder/main.yml")).unwrap();
        fs::create_dir(bundles.join("empty")).unwrap();
    });
    for name in ["real", "linked", "deep/er/real", "file"] {
        let answer = run(&server, "bundles", name).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text);
        assert_eq!(server.take_calls()[0]["playbook_text"], INSIDE, "{name}");
    }
    let refused = [
        ("bundles", "absolute"),
        ("bundles", "relative"),
        ("bundles", "away"),
        ("bundles", "linked-twice"),
        ("bundles", "link-to-link"),
        ("scenarios", "a-bundle"),
        ("bundles", "folder"),
        ("bundles", "empty"),
        ("bundles", "missing"),
        ("bundles", "real/main.yml/x"),
    ];
    for (folder, name) in refused {
        let answer = run(&server, folder, name).await;
        assert_eq!(answer.status, 400, "{name}: {}", answer.text);
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        // The error names the relative path only, and nothing of the machine.
        let bad_name = name.contains('.');
        assert!(bad_name || detail.contains(&format!("{folder}/{name}/main.yml")), "{detail}");
        assert!(!detail.contains(&server.dir.path().display().to_string()), "{detail}");
    }
    assert!(server.take_calls().is_empty());
}

/// Large directories that playbooks do not need are excluded from the copy, but only at the top of
/// a tree: further down, a bundle may have such a name.
#[tokio::test]
async fn bundles_may_be_named_like_excluded_directories() {
    let server = server(|public| {
        for name in ["target", "core/node_modules", "core/.git/hooks"] {
            write(&public.join("bundles").join(name).join("main.yml"), INSIDE);
        }
        for name in [".git", ".venv", "node_modules", "target"] {
            write(&public.join(name).join("large"), "");
        }
    });
    for name in ["target", "core/node_modules"] {
        let answer = run(&server, "bundles", name).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text);
        let call = &server.take_calls()[0];
        assert_eq!(call["playbook_text"], INSIDE, "{name}");
        let layout = call["layout"].as_array().unwrap().iter().map(|path| path.as_str().unwrap());
        let left: Vec<_> =
            layout.filter(|path| path.ends_with("large") || path.contains(".git")).collect();
        assert!(left.is_empty(), "{left:?} was copied");
    }
}

/// Adds files next to the swapped one. They are copied between the listing of the directory and the
/// opening of the swapped file, which widens the race window.
fn fill(folder: &Path) {
    for number in 0..100 {
        write(&folder.join(format!("beside-{number}.yml")), "");
    }
}

/// Runs the bundle `swapped` repeatedly while `swap` changes it continuously. Each request must run
/// the playbook inside the root, or be rejected without a run.
async fn never_outside(furnish: impl FnOnce(&Path), swap: impl Fn(&Path) + Send + 'static) {
    let server = server(furnish);
    let public = server.dir.path().join("public");
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let swapper = std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            swap(&public);
        }
    });
    let (mut ran, mut refused) = (0, 0);
    for _ in 0..3000 {
        // Until both outcomes were seen, which depends on the scheduler.
        if ran >= 20 && refused >= 20 {
            break;
        }
        let answer = run(&server, "bundles", "swapped").await;
        let calls = server.take_calls();
        match answer.status.as_u16() {
            200 => {
                let texts: Vec<&Value> = calls.iter().map(|call| &call["playbook_text"]).collect();
                assert_eq!(texts, [INSIDE]);
                ran += 1;
            }
            400 => {
                assert!(calls.is_empty(), "{calls:?}");
                refused += 1;
            }
            status => panic!("{status} {}", answer.text),
        }
    }
    stop.store(true, Ordering::Relaxed);
    swapper.join().unwrap();
    assert!(
        ran > 0 && refused > 0,
        "no swap hit the race window: {ran} runs, {refused} rejections"
    );
}

/// Replaces `path` with a symlink to `target` and back. The delays vary in each round, so that swaps
/// happen at every point of a copy.
fn swap(path: &Path, target: &Path) {
    let (kept, link) = (path.with_extension("kept"), path.with_extension("link"));
    symlink(target, &link).unwrap();
    busy_wait(3000);
    fs::rename(path, &kept).unwrap();
    fs::rename(&link, path).unwrap();
    busy_wait(1000);
    fs::remove_file(path).unwrap();
    fs::rename(&kept, path).unwrap();
}

/// Busy-waits up to `most` microseconds.
fn busy_wait(most: u32) {
    let now = std::time::Instant::now();
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let long = std::time::Duration::from_micros(u64::from(nanos.subsec_nanos() % most));
    while now.elapsed() < long {
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_swapped_playbook_is_not_run() {
    never_outside(
        |public| {
            write(&public.join("bundles/swapped/main.yml"), INSIDE);
            fill(&public.join("bundles/swapped"));
        },
        |public| {
            swap(
                &public.join("bundles/swapped/main.yml"),
                Path::new("../../../outside/bundle/main.yml"),
            )
        },
    )
    .await;
}

#[tokio::test]
async fn a_swapped_folder_is_not_run() {
    never_outside(
        |public| {
            write(&public.join("bundles/swapped/main.yml"), INSIDE);
            fill(&public.join("bundles"));
        },
        |public| swap(&public.join("bundles/swapped"), &public.join("../outside/bundle")),
    )
    .await;
}

#[tokio::test]
async fn a_swapped_folder_above_is_not_run() {
    never_outside(
        |public| {
            write(&public.join("bundles/swapped/main.yml"), INSIDE);
            write(&public.join("../outside/swapped/main.yml"), OUTSIDE);
            fill(public);
        },
        |public| swap(&public.join("bundles"), &public.join("../outside")),
    )
    .await;
}
