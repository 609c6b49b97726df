//! Reading job events while a run writes them.
//!
//! ansible-runner puts each event into a file of its own, `<counter>-<uuid>.json`, written
//! under another name and moved into place when complete. The kernel says when that happens.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use inotify::{EventStream, Inotify, WatchMask};
use thiserror::Error;

use crate::ansible::events::JobEvent;

/// An event and the text it was read from.
#[derive(Debug)]
pub struct ReadEvent {
    /// The event.
    pub event: JobEvent,
    /// Its file's content.
    pub text: String,
}

/// An event that was written and cannot be read.
#[derive(Debug, Error)]
#[error("the job event {file} cannot be read: {reason}")]
pub struct UnreadableEvent {
    file: String,
    reason: String,
}

/// Follows the folder of a run's job events.
pub struct JobEvents {
    folder: PathBuf,
    changes: EventStream<[u8; 4096]>,
    /// Read, and waiting for the ones before them.
    waiting: BTreeMap<u64, ReadEvent>,
    seen: std::collections::HashSet<String>,
    next: u64,
}

impl JobEvents {
    /// Makes the folder and starts to watch it, before anything can write there.
    pub fn watch(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let inotify = Inotify::init()?;
        inotify.watches().add(folder, WatchMask::MOVED_TO | WatchMask::CLOSE_WRITE)?;
        Ok(Self {
            folder: folder.to_owned(),
            changes: inotify.into_event_stream([0; 4096])?,
            waiting: BTreeMap::new(),
            seen: std::collections::HashSet::new(),
            next: 1,
        })
    }

    /// Waits for the next change of the folder and answers the events that are next in order.
    pub async fn changed(&mut self) -> Result<Vec<ReadEvent>, UnreadableEvent> {
        match self.changes.next().await {
            Some(Ok(change)) => {
                if let Some(name) = change.name.as_deref().and_then(|n| n.to_str()) {
                    self.read(name.to_owned())?;
                } else {
                    // The kernel's queue ran over: what it dropped is in the folder.
                    self.read_folder()?;
                }
                Ok(self.in_order())
            }
            Some(Err(e)) => Err(self.unreadable(".", &e)),
            None => std::future::pending().await,
        }
    }

    /// Answers everything that is left, when the process has ended.
    pub fn rest(mut self) -> Result<Vec<ReadEvent>, UnreadableEvent> {
        self.read_folder()?;
        Ok(self.waiting.into_values().collect())
    }

    /// The events after the one numbered `counter` that a run of an earlier server left.
    pub fn left_in(folder: &Path, counter: u64) -> io::Result<Vec<ReadEvent>> {
        let mut left = BTreeMap::new();
        for entry in std::fs::read_dir(folder)?.flatten() {
            let number = entry.file_name().to_str().and_then(counter_of);
            let Some(number) = number.filter(|number| *number > counter) else { continue };
            let text = std::fs::read_to_string(entry.path())?;
            if let Ok(event) = serde_json::from_str(&text) {
                left.insert(number, ReadEvent { event, text });
            }
        }
        Ok(left.into_values().collect())
    }

    fn in_order(&mut self) -> Vec<ReadEvent> {
        let mut ready = Vec::new();
        while let Some(event) = self.waiting.remove(&self.next) {
            self.next += 1;
            ready.push(event);
        }
        ready
    }

    fn read_folder(&mut self) -> Result<(), UnreadableEvent> {
        let entries = std::fs::read_dir(&self.folder).map_err(|e| self.unreadable(".", &e))?;
        for entry in entries.flatten() {
            if let Ok(name) = entry.file_name().into_string() {
                self.read(name)?;
            }
        }
        Ok(())
    }

    fn read(&mut self, name: String) -> Result<(), UnreadableEvent> {
        let Some(counter) = counter_of(&name) else { return Ok(()) };
        if self.seen.contains(&name) {
            return Ok(());
        }
        let text = std::fs::read_to_string(self.folder.join(&name))
            .map_err(|e| self.unreadable(&name, &e))?;
        let event = serde_json::from_str(&text).map_err(|e| self.unreadable(&name, &e))?;
        self.waiting.insert(counter, ReadEvent { event, text });
        self.seen.insert(name);
        Ok(())
    }

    fn unreadable(&self, file: &str, reason: &dyn std::fmt::Display) -> UnreadableEvent {
        UnreadableEvent { file: file.to_owned(), reason: reason.to_string() }
    }
}

/// `12-….json` is event 12; partial and temporary files have other names.
fn counter_of(name: &str) -> Option<u64> {
    let stem = name.strip_suffix(".json")?;
    if stem.ends_with("-partial") {
        return None;
    }
    stem.split_once('-')?.0.parse().ok()
}
