//! The command line: invalid settings, and the small commands.

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
fn an_invalid_setting_prints_one_line_and_exits_with_64() {
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
fn check_accepts_only_the_current_document() {
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
fn the_health_check_fails_without_a_server() {
    let output = run(&["healthcheck"], &[("PORT", "1"), ("HOST", "127.0.0.1")]);
    assert_eq!(output.status.code(), Some(1));
}
