//! The backup of the history is consistent while the server writes to it.

use std::fs;
use std::process::Command;

use rusqlite::Connection;

#[test]
fn the_history_can_be_backed_up_while_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let (data, back) = (dir.path().join("data"), dir.path().join("back"));
    fs::create_dir_all(data.join("logs/ab")).unwrap();
    fs::create_dir(&back).unwrap();
    fs::write(data.join("logs/ab/one"), "a line").unwrap();
    let history = Connection::open(data.join("history.sqlite3")).unwrap();
    history.pragma_update(None, "journal_mode", "wal").unwrap();
    history.execute_batch("create table runs (id); insert into runs values (1), (2);").unwrap();
    // Rows that are only in the write-ahead log, and an uncommitted one.
    assert!(fs::metadata(data.join("history.sqlite3-wal")).unwrap().len() > 0);
    history.execute_batch("begin immediate; insert into runs values (3);").unwrap();

    let output = Command::new("scripts/back-up-history").arg(&data).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tar = dir.path().join("back.tar");
    fs::write(&tar, output.stdout).unwrap();
    let status = Command::new("tar").arg("-xf").arg(&tar).arg("-C").arg(&back).status().unwrap();
    assert!(status.success());

    assert_eq!(fs::read_to_string(back.join("logs/ab/one")).unwrap(), "a line");
    let copy = Connection::open(back.join("history.sqlite3")).unwrap();
    let count: i64 = copy.query_row("select count(*) from runs", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 2);

    let output = Command::new("scripts/back-up-history").arg(dir.path()).output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty());
}
