//! Reads job events while a run writes them.
//!
//! ansible-runner writes each event to a separate file under a temporary name and renames it to
//! `<counter>-<uuid>.json` when it is complete. inotify reports the rename.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use futures_util::{FutureExt, StreamExt};
use inotify::{EventStream, Inotify, WatchMask};
use thiserror::Error;

use crate::ansible::events::JobEvent;

/// A job event and the text it was parsed from.
#[derive(Debug)]
pub struct ReadEvent {
    /// The event.
    pub event: JobEvent,
    /// The content of the file.
    pub text: String,
}

/// A job event that cannot be read.
#[derive(Debug, Error)]
#[error("cannot read job event {file}: {reason}")]
pub struct UnreadableEvent {
    file: String,
    reason: String,
}

/// Watches the job events directory of a run.
pub struct JobEvents {
    changes: EventStream<[u8; 4096]>,
    /// `None` only while a blocking thread reads.
    reader: Option<Reader>,
}

/// What changed in the directory.
#[derive(Debug, Default)]
pub struct Changes {
    names: Vec<String>,
    /// The inotify queue overflowed, so any file may be new.
    overflow: bool,
}

/// Reads the files of the directory, each once.
struct Reader {
    folder: PathBuf,
    /// Events that were read before an event with a lower number.
    pending: BTreeMap<u64, ReadEvent>,
    seen: HashSet<String>,
    next: u64,
}

impl JobEvents {
    /// Creates the directory and watches it. Call this before anything writes to it.
    ///
    /// # Errors
    ///
    /// Returns an error if the directory cannot be created or watched.
    ///
    /// # Blocking
    ///
    /// Creates the directory.
    pub fn watch(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let inotify = Inotify::init()?;
        inotify.watches().add(folder, WatchMask::MOVED_TO | WatchMask::CLOSE_WRITE)?;
        let reader = Reader {
            folder: folder.to_owned(),
            pending: BTreeMap::new(),
            seen: HashSet::new(),
            next: 1,
        };
        Ok(Self { changes: inotify.into_event_stream([0; 4096])?, reader: Some(reader) })
    }

    /// Waits for a change and returns it with all others that are known by then. Cancel safe.
    ///
    /// # Errors
    ///
    /// Returns an error if inotify fails.
    pub async fn changed(&mut self) -> Result<Changes, UnreadableEvent> {
        let mut changes = Changes::default();
        let mut next = self.changes.next().await;
        loop {
            match next {
                Some(Ok(change)) => match change.name.as_deref().and_then(OsStr::to_str) {
                    Some(name) => changes.names.push(name.to_owned()),
                    None => changes.overflow = true,
                },
                Some(Err(error)) => return Err(unreadable(".", &error)),
                None => std::future::pending().await,
            }
            next = match self.changes.next().now_or_never() {
                Some(next) => next,
                None => return Ok(changes),
            };
        }
    }

    /// Reads what has changed and returns the events that are next in order, if any. All files
    /// of a batch are read by one task on a blocking thread.
    ///
    /// # Errors
    ///
    /// Returns an error if an event or the directory cannot be read.
    pub async fn read(&mut self, changes: Changes) -> Result<Vec<ReadEvent>, UnreadableEvent> {
        self.blocking(move |reader| {
            changes.names.into_iter().try_for_each(|name| reader.read(name))?;
            if changes.overflow {
                reader.read_folder()?;
            }
            Ok(reader.take_ready())
        })
        .await
    }

    /// Returns all remaining events. Call this after the process has exited.
    ///
    /// # Errors
    ///
    /// Returns an error if an event or the directory cannot be read.
    pub async fn finish(mut self) -> Result<Vec<ReadEvent>, UnreadableEvent> {
        self.blocking(|reader| {
            reader.read_folder()?;
            Ok(std::mem::take(&mut reader.pending).into_values().collect())
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &mut self,
        read: impl FnOnce(&mut Reader) -> T + Send + 'static,
    ) -> T {
        let mut reader = self.reader.take().expect("the previous batch was read to its end");
        let done = tokio::task::spawn_blocking(move || (read(&mut reader), reader)).await;
        let (result, reader) = done.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()));
        self.reader = Some(reader);
        result
    }

    /// Reads the events after number `counter` that a run of a previous server left in `folder`.
    /// Corrupt events are skipped.
    ///
    /// # Errors
    ///
    /// Returns an error if the directory or a file cannot be read.
    ///
    /// # Blocking
    ///
    /// Reads files.
    pub fn read_after(folder: &Path, counter: u64) -> io::Result<Vec<ReadEvent>> {
        let mut remaining = BTreeMap::new();
        for entry in std::fs::read_dir(folder)?.flatten() {
            let number = entry.file_name().to_str().and_then(counter_of);
            let Some(number) = number.filter(|number| *number > counter) else { continue };
            let text = std::fs::read_to_string(entry.path())?;
            if let Ok(event) = serde_json::from_str(&text) {
                remaining.insert(number, ReadEvent { event, text });
            }
        }
        Ok(remaining.into_values().collect())
    }
}

impl Reader {
    fn take_ready(&mut self) -> Vec<ReadEvent> {
        let mut ready = Vec::new();
        while let Some(event) = self.pending.remove(&self.next) {
            self.next += 1;
            ready.push(event);
        }
        ready
    }

    fn read_folder(&mut self) -> Result<(), UnreadableEvent> {
        let entries = std::fs::read_dir(&self.folder).map_err(|e| unreadable(".", &e))?;
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
        let text =
            std::fs::read_to_string(self.folder.join(&name)).map_err(|e| unreadable(&name, &e))?;
        let event = serde_json::from_str(&text).map_err(|e| unreadable(&name, &e))?;
        self.pending.insert(counter, ReadEvent { event, text });
        self.seen.insert(name);
        Ok(())
    }
}

fn unreadable(file: &str, reason: &dyn std::fmt::Display) -> UnreadableEvent {
    UnreadableEvent { file: file.to_owned(), reason: reason.to_string() }
}

/// Returns 12 for `12-….json`, and `None` for partial and temporary files.
fn counter_of(name: &str) -> Option<u64> {
    let stem = name.strip_suffix(".json")?;
    if stem.ends_with("-partial") {
        return None;
    }
    stem.split_once('-')?.0.parse().ok()
}
