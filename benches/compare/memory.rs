//! The memory of a server on this machine: the listening process and its descendants.

use std::collections::HashMap;
use std::fs;

use super::table::Figure;

/// Returns the proportional set size of all processes of the server at `base`, in MiB, if it runs
/// on this machine as the same user.
pub fn of_server(base: &str) -> Figure {
    let port = base.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
    let Some(pid) = port.and_then(listener) else { return Figure::none() };
    let parents = parents();
    let belongs = |mut candidate: u32| loop {
        if candidate == pid {
            return true;
        }
        match parents.get(&candidate) {
            Some(parent) if *parent > 0 => candidate = *parent,
            _ => return false,
        }
    };
    let kib: u64 = parents.keys().filter(|pid| belongs(**pid)).filter_map(|pid| pss(*pid)).sum();
    Figure::one(kib as f64 / 1024.0)
}

fn listener(port: u16) -> Option<u32> {
    let wanted = format!(":{port:04X}");
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"]
        .map(|file| fs::read_to_string(file).unwrap_or_default());
    let inode = tables.iter().flat_map(|table| table.lines()).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // 0A is TCP_LISTEN (include/net/tcp_states.h).
        (fields.get(1)?.ends_with(&wanted) && *fields.get(3)? == "0A").then(|| fields[9].to_owned())
    })?;
    let socket = format!("socket:[{inode}]");
    processes().find(|pid| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok();
        descriptors.into_iter().flatten().flatten().any(|fd| {
            fs::read_link(fd.path()).is_ok_and(|target| target.as_os_str() == socket.as_str())
        })
    })
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn parents() -> HashMap<u32, u32> {
    let parent = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command name in parentheses can contain anything, so count fields after it.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    processes().filter_map(|pid| Some((pid, parent(pid)?))).collect()
}

fn pss(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find(|line| line.starts_with("Pss:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
