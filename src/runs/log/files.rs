//! The log and the job events of each run, as files beside the history.
//!
//! A run can print gigabytes while the history's database is locked, so they do not go through
//! it: each run has two files that are only ever added to. What a reader may read is said by
//! the counts in the run's record, which grow after the files did.

use std::fs;
use std::fs::{File, OpenOptions};
use std::io;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// The folder of all runs' files.
#[derive(Debug, Clone)]
pub struct Journals {
    folder: PathBuf,
}

/// Which of the two files of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The text, one line a line.
    Log,
    /// The job events, one JSON object a line.
    JobEvents,
}

impl Part {
    fn extension(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::JobEvents => "jsonl",
        }
    }
}

impl Journals {
    /// Makes the folder.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder })
    }

    fn file(&self, id: Uuid, part: Part) -> PathBuf {
        self.folder.join(format!("{id}.{}", part.extension()))
    }

    /// Opens the files of a run to add to them.
    pub fn write(&self, id: Uuid) -> io::Result<Journal> {
        let open = |part| {
            let mut options = OpenOptions::new();
            options.create(true).append(true).mode(0o600).open(self.file(id, part))
        };
        Ok(Journal { log: open(Part::Log)?, job_events: open(Part::JobEvents)? })
    }

    /// Opens the files of a run that an earlier server began, without a last line that it did
    /// not come to end.
    pub fn resume(&self, id: Uuid) -> io::Result<Journal> {
        let journal = self.write(id)?;
        journal.log.set_len(self.find(id, Part::Log, u64::MAX)?.offset)?;
        journal.job_events.set_len(self.find(id, Part::JobEvents, u64::MAX)?.offset)?;
        Ok(journal)
    }

    /// Reads lines of a run's file from `from` on, up to the `end`th one, and stops after
    /// `bytes`. Answers at least one line where there is one.
    pub fn read(
        &self,
        id: Uuid,
        part: Part,
        from: Mark,
        end: u64,
        bytes: usize,
    ) -> io::Result<Page> {
        let mut page = Page { lines: Vec::new(), next: from };
        let file = match File::open(self.file(id, part)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(page),
            Err(e) => return Err(e),
        };
        let mut reader = BufReader::with_capacity(64 * 1024, file);
        reader.seek(SeekFrom::Start(from.offset))?;
        let mut read = 0;
        while page.next.line < end && read < bytes {
            let mut line = Vec::new();
            let length = reader.read_until(b'\n', &mut line)?;
            if line.last() != Some(&b'\n') {
                break;
            }
            line.pop();
            read += length;
            page.next = Mark { line: page.next.line + 1, offset: page.next.offset + length as u64 };
            page.lines.push(String::from_utf8_lossy(&line).into_owned());
        }
        Ok(page)
    }

    /// Where the line with this number begins; where there are fewer, the end of the last one
    /// that is complete.
    pub fn find(&self, id: Uuid, part: Part, line: u64) -> io::Result<Mark> {
        let mut mark = Mark::default();
        if line == 0 {
            return Ok(mark);
        }
        let mut reader = match File::open(self.file(id, part)) {
            Ok(file) => BufReader::with_capacity(64 * 1024, file),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(mark),
            Err(e) => return Err(e),
        };
        while mark.line < line {
            let mut text = Vec::new();
            let length = reader.read_until(b'\n', &mut text)?;
            if text.last() != Some(&b'\n') {
                break;
            }
            mark = Mark { line: mark.line + 1, offset: mark.offset + length as u64 };
        }
        Ok(mark)
    }

    /// Removes the files of a run.
    pub fn remove(&self, id: Uuid) {
        for part in [Part::Log, Part::JobEvents] {
            match fs::remove_file(self.file(id, part)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    tracing::error!(run_id = %id, error = %e, "a file of a run's log stays");
                }
                _ => {}
            }
        }
    }

    /// The runs that have files.
    pub fn all(&self) -> Vec<Uuid> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let mut ids: Vec<Uuid> = entries.flatten().filter_map(|e| id_of(&e.path())).collect();
        ids.sort();
        ids.dedup();
        ids
    }
}

fn id_of(path: &Path) -> Option<Uuid> {
    path.file_stem()?.to_str()?.parse().ok()
}

/// A place in a file: the number of the line that begins there, from 0, and its offset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// The number of the line.
    pub line: u64,
    /// Bytes before it.
    pub offset: u64,
}

/// Some lines of a file.
#[derive(Debug)]
pub struct Page {
    /// The lines, without their ends.
    pub lines: Vec<String>,
    /// Where the next one begins.
    pub next: Mark,
}

/// The files of a run at work.
#[derive(Debug)]
pub struct Journal {
    log: File,
    job_events: File,
}

impl Journal {
    /// Adds a job event and the lines that were printed with it.
    pub fn add(&mut self, job_event: &str, lines: &[String]) -> io::Result<()> {
        let mut text = String::with_capacity(job_event.len() + 1);
        text.push_str(job_event);
        text.push('\n');
        self.job_events.write_all(text.as_bytes())?;
        if lines.is_empty() {
            return Ok(());
        }
        let mut text = lines.join("\n");
        text.push('\n');
        self.log.write_all(text.as_bytes())
    }
}
