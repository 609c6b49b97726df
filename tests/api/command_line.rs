//! The binary itself: settings that are refused, and the small commands.

use std::collections::HashMap;
use std::process::{Command, Output};

fn run(args: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_range42-backend-api"))
        .args(args)
        .env_clear()
        .envs(env.iter().copied().collect::<HashMap<_, _>>())
        .output()
        .unwrap()
}

#[test]
fn a_bad_setting_is_one_line_and_exit_code_64() {
    for setting in
        [("PORT", "eighty"), ("VAULT_PASSWORD_FILE", "/nonexistent"), ("CORS_ORIGIN_REGEX", "(")]
    {
        let output = run(&[], &[setting]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(setting.0), "{text}");
    }
}

#[test]
fn the_committed_document_is_accepted_and_another_is_not() {
    assert!(run(&["openapi", "--check"], &[]).status.success());
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("openapi.json"), "{}").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_range42-backend-api"))
        .args(["openapi", "--check"])
        .current_dir(elsewhere.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
}

#[test]
fn the_health_check_fails_where_nothing_answers() {
    let output = run(&["healthcheck"], &[("PORT", "1"), ("HOST", "127.0.0.1")]);
    assert_eq!(output.status.code(), Some(1));
}
