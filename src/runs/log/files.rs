//! The log and the job events of each run, in two append-only files.
//!
//! They are not stored in the history, because a run can print gigabytes while the database is
//! locked. Readers read up to the counts in the record of the run, which are updated only after the
//! files were written.

use std::fs;
use std::fs::{File, OpenOptions};
use std::io;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// The folder with the log files of all runs.
#[derive(Debug, Clone)]
pub struct LogFiles {
    folder: PathBuf,
}

/// One of the two files of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogKind {
    /// The printed text.
    Log,
    /// The job events, one JSON object per line.
    JobEvents,
}

impl LogKind {
    fn extension(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::JobEvents => "jsonl",
        }
    }
}

impl LogFiles {
    /// Opens the folder, and creates it if necessary.
    ///
    /// # Errors
    ///
    /// If the folder cannot be created.
    ///
    /// # Blocking
    ///
    /// Creates the folder.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder })
    }

    fn file(&self, id: Uuid, kind: LogKind) -> PathBuf {
        self.folder.join(format!("{id}.{}", kind.extension()))
    }

    /// Opens the files of a run for appending, and creates them if necessary.
    ///
    /// # Errors
    ///
    /// If a file cannot be opened.
    ///
    /// # Blocking
    ///
    /// Opens both files.
    pub fn create(&self, id: Uuid) -> io::Result<LogWriter> {
        let open = |kind| {
            let mut options = OpenOptions::new();
            options.create(true).append(true).mode(0o600).open(self.file(id, kind))
        };
        Ok(LogWriter { log: open(LogKind::Log)?, job_events: open(LogKind::JobEvents)? })
    }

    /// Opens the files of a run that an earlier server began, and truncates an incomplete last line.
    ///
    /// # Errors
    ///
    /// If a file cannot be opened, read or truncated.
    ///
    /// # Blocking
    ///
    /// Reads both files.
    pub fn resume(&self, id: Uuid) -> io::Result<LogWriter> {
        let writer = self.create(id)?;
        writer.log.set_len(self.find(id, LogKind::Log, u64::MAX)?.offset)?;
        writer.job_events.set_len(self.find(id, LogKind::JobEvents, u64::MAX)?.offset)?;
        Ok(writer)
    }

    /// Reads complete lines from `from` to line `end`, exclusive. Stops after the line that reaches
    /// `bytes`, so at least one line is returned if there is one. A missing file is empty.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    ///
    /// # Blocking
    ///
    /// Reads the file.
    pub fn read(
        &self,
        id: Uuid,
        kind: LogKind,
        from: LogOffset,
        end: u64,
        bytes: usize,
    ) -> io::Result<LogPage> {
        let mut page = LogPage { lines: Vec::new(), next: from };
        let file = match File::open(self.file(id, kind)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(page),
            Err(e) => return Err(e),
        };
        let mut reader = BufReader::with_capacity(64 * 1024, file);
        reader.seek(SeekFrom::Start(from.offset))?;
        let mut bytes_read = 0;
        while page.next.line < end && bytes_read < bytes {
            let mut line = Vec::new();
            let length = reader.read_until(b'\n', &mut line)?;
            if line.last() != Some(&b'\n') {
                break;
            }
            line.pop();
            bytes_read += length;
            page.next =
                LogOffset { line: page.next.line + 1, offset: page.next.offset + length as u64 };
            page.lines.push(String::from_utf8_lossy(&line).into_owned());
        }
        Ok(page)
    }

    /// Returns where a line begins, or the end of the last complete line if there are fewer lines.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    ///
    /// # Blocking
    ///
    /// Reads the file up to the line.
    pub fn find(&self, id: Uuid, kind: LogKind, line: u64) -> io::Result<LogOffset> {
        let mut offset = LogOffset::default();
        if line == 0 {
            return Ok(offset);
        }
        let mut reader = match File::open(self.file(id, kind)) {
            Ok(file) => BufReader::with_capacity(64 * 1024, file),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(offset),
            Err(e) => return Err(e),
        };
        while offset.line < line {
            let mut text = Vec::new();
            let length = reader.read_until(b'\n', &mut text)?;
            if text.last() != Some(&b'\n') {
                break;
            }
            offset = LogOffset { line: offset.line + 1, offset: offset.offset + length as u64 };
        }
        Ok(offset)
    }

    /// Removes the files of a run. Failures are logged.
    ///
    /// # Blocking
    ///
    /// Removes both files.
    pub fn remove(&self, id: Uuid) {
        for kind in [LogKind::Log, LogKind::JobEvents] {
            match fs::remove_file(self.file(id, kind)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    tracing::error!(run_id = %id, error = %e, "cannot remove a log file");
                }
                _ => {}
            }
        }
    }

    /// Returns the ids of the runs that have files. If the folder cannot be read, there are none.
    ///
    /// # Blocking
    ///
    /// Reads the folder.
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

/// The position of a line in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogOffset {
    /// The number of the line, from 0.
    pub line: u64,
    /// The offset of its first byte.
    pub offset: u64,
}

/// Consecutive lines of a file.
#[derive(Debug)]
pub struct LogPage {
    /// The lines, without line ends.
    pub lines: Vec<String>,
    /// Where the next line begins.
    pub next: LogOffset,
}

/// The open files of an active run.
#[derive(Debug)]
pub struct LogWriter {
    log: File,
    job_events: File,
}

impl LogWriter {
    /// Appends a job event and the lines printed with it.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    ///
    /// # Blocking
    ///
    /// Writes to both files.
    pub fn append(&mut self, job_event: &str, lines: &[String]) -> io::Result<()> {
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
