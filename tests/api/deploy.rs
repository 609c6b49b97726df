//! The deployment files are consistent with each other and with the settings, and Compose and
//! systemd accept them.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::installed;
use crate::support::internals::Settings;
use regex::Regex;
use serde_json::{Value, json};

fn yaml(file: &str) -> Value {
    yaml_serde::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// Every variable named in a settings file.
fn settings() -> BTreeSet<String> {
    let name = Regex::new(
        r#""((?:API_BACKEND|RANGE42|VAULT|PROJECT|CORS|ANSIBLE|TRUSTED)_[A-Z0-9_]+|HOST|PORT|DEBUG)""#,
    )
    .unwrap();
    let files = fs::read_dir("src/config").unwrap().map(|entry| entry.unwrap().path());
    files
        .flat_map(|file| {
            let text = fs::read_to_string(file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
            name.captures_iter(&code).map(|found| found[1].to_owned()).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn every_setting_is_passed_through() {
    let compose = yaml("docker-compose.yml");
    let environment = compose["services"]["api"]["environment"].as_object().unwrap();
    let settings = settings();
    assert!(settings.len() > 12, "{settings:?}");
    let missing: Vec<_> = settings.iter().filter(|s| !environment.contains_key(*s)).collect();
    assert!(missing.is_empty(), "docker-compose.yml does not pass {missing:?}");
    for (name, value) in environment {
        let known = settings.contains(name) || name == "ANSIBLE_HOST_KEY_CHECKING";
        assert!(known, "{name} is no setting");
        // Passing a variable without a default would override the value of the image.
        let in_image = fs::read_to_string("Dockerfile").unwrap().contains(&format!(" {name}="));
        assert!(!value.is_null() || !in_image, "{name} needs the image's value as its default");
    }
}

#[test]
fn compose_and_image_use_the_same_health_check() {
    let health = yaml("docker-compose.yml")["services"]["api"]["healthcheck"].clone();
    let text = |name: &str| health[name].as_str().unwrap().to_owned();
    let image = format!(
        "HEALTHCHECK --interval={} --timeout={} --start-period={} --retries={} \\\n    CMD {}\n",
        text("interval"),
        text("timeout"),
        text("start_period"),
        health["retries"],
        health["test"].to_string().replace("\"CMD\",", "").replace("\",\"", "\", \""),
    );
    assert!(fs::read_to_string("Dockerfile").unwrap().contains(&image), "{image}");
}

#[test]
fn the_stop_grace_period_exceeds_the_shutdown_wait() {
    let defaults = Settings::from_map(&HashMap::new()).unwrap().limits;
    let grace = Regex::new(r"stop_grace_period: \$\{STOP_GRACE_PERIOD:-(\d+)s\}").unwrap();
    let compose = fs::read_to_string("docker-compose.yml").unwrap();
    let compose = grep(&grace, &compose);
    let unit = fs::read_to_string("deploy/range42-backend-api.service").unwrap();
    let unit = grep(&Regex::new(r"(?m)^TimeoutStopSec=(\d+)$").unwrap(), &unit);
    let wait = defaults.shutdown_wait.as_secs();
    assert!(compose >= wait + 20 && unit >= wait + 20, "{compose} s, {unit} s");
}

fn grep(number: &Regex, text: &str) -> u64 {
    number.captures(text).unwrap()[1].parse().unwrap()
}

#[test]
fn containers_have_minimal_privileges() {
    for (name, service) in yaml("docker-compose.yml")["services"].as_object().unwrap() {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["security_opt"], json!(["no-new-privileges:true"]), "{name}");
        assert_eq!(service["cap_drop"], json!(["ALL"]), "{name}");
        assert!(service.get("cap_add").is_none(), "{name}");
        assert_eq!(service["restart"], "unless-stopped", "{name}");
        let published = service.get("ports").is_some();
        assert_eq!(published, name == "kong", "{name}");
    }
    let port = json!(["${PORT:-8000}:8000"]);
    assert_eq!(yaml("docker-compose.override.yml")["services"]["api"]["ports"], port);
}

/// The vault settings that the entrypoint passes to the server, one per line.
fn entrypoint(dir: &Path, secret: &Path, password: &str) -> String {
    let compose = yaml("docker-compose.yml");
    let command = compose["services"]["api"]["entrypoint"].as_array().unwrap();
    // `$$` is an escaped `$` in Compose files.
    let words: Vec<_> = command.iter().map(|w| w.as_str().unwrap().replace("$$", "$")).collect();
    let output = Command::new(&words[0])
        .args(&words[1..])
        .args(["VAULT_PASSWORD_FILE", "VAULT_PASSWORD"])
        .env("PATH", dir)
        .env("VAULT_PASSWORD_FILE", secret)
        .env("VAULT_PASSWORD", password)
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_entrypoint_passes_the_vault_password() {
    let dir = tempfile::tempdir().unwrap();
    // A stub for the server prints the variables named by its arguments.
    let server = dir.path().join("range42-backend-api");
    std::os::unix::fs::symlink("/usr/bin/printenv", server).unwrap();

    let compose = yaml("docker-compose.yml");
    let file = compose["secrets"]["vault_password"]["file"].as_str().unwrap();
    let none = file.strip_prefix("${VAULT_PASSWORD_FILE:-").unwrap().strip_suffix('}').unwrap();
    let settings = entrypoint(dir.path(), Path::new(none), "from the environment");
    assert_eq!(settings, "from the environment\n");

    let secret = dir.path().join("vault password");
    fs::write(&secret, "from a file\n").unwrap();
    let settings = entrypoint(dir.path(), &secret, "");
    assert_eq!(settings, format!("{}\n\n", secret.display()));
}

/// The configuration that Compose resolves with these lines in `.env`. Uses Debian's
/// `docker-compose` or Docker's plugin.
fn compose(arguments: &[&str], lines: &str) -> Value {
    let command = installed(&[&["docker-compose"], &["docker", "compose"]]);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(lines.as_bytes()).unwrap();
    let mut run = Command::new(command[0]);
    run.args(&command[1..]).arg("--env-file").arg(file.path()).args(arguments).arg("config");
    for name in ["COMPOSE_FILE", "COMPOSE_PROFILES", "PORT", "RANGE42_GATEWAY_SECRET"] {
        run.env_remove(name);
    }
    let output = run.env("SSH_KEY_PATH", "/keys").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    assert!(!said.to_lowercase().contains("warn"), "{arguments:?}: {said}");
    yaml_serde::from_slice(&output.stdout).unwrap()
}

#[test]
fn compose_accepts_every_profile() {
    let main_file = ["-f", "docker-compose.yml"];
    for (file, profiles) in [
        (&[][..], &[][..]),
        (&[], &["demo"]),
        (&main_file, &["gateway"]),
        (&main_file, &["gateway", "demo"]),
    ] {
        let mut arguments = file.to_vec();
        arguments.extend(profiles.iter().flat_map(|profile| ["--profile", profile]));
        let config = compose(&arguments, "");
        let api = &config["services"]["api"];
        assert_eq!(api.get("ports").is_some(), file.is_empty(), "{arguments:?}");
        assert!(api["volumes"].to_string().contains("/keys"), "{arguments:?}");
        for profile in profiles {
            let name = if *profile == "demo" { "proxmox" } else { "kong" };
            assert!(config["services"].get(name).is_some(), "{arguments:?}");
        }
    }
}

/// The lines that docs/deploy.md adds to `.env` for the gateway.
fn gateway_lines() -> String {
    let guide = fs::read_to_string("docs/deploy.md").unwrap();
    let section = guide.split("\n## Behind Kong\n").nth(1).unwrap();
    let lines = section.split("cat >> .env <<END\n").nth(1).unwrap().split("    END\n").next();
    lines.unwrap().replace("    ", "").replace("$(openssl rand -hex 24)", "5ec4e7")
}

#[test]
fn only_the_gateway_is_published() {
    let config = compose(&[], &gateway_lines());
    let services = config["services"].as_object().unwrap();
    let published = services.iter().filter(|(_, service)| service.get("ports").is_some());
    assert_eq!(published.map(|(name, _)| name).collect::<Vec<_>>(), ["kong"]);
    assert_eq!(services["api"]["environment"]["RANGE42_GATEWAY_SECRET"], "5ec4e7");

    // All commands in the guide rely on these lines; none names files or profiles.
    let guide = fs::read_to_string("docs/deploy.md").unwrap();
    let commands = guide.lines().filter(|line| line.contains("docker compose -f"));
    assert_eq!(commands.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn the_gateway_does_not_log_keys() {
    let kong = yaml("docker-compose.yml")["services"]["kong"].clone();
    let included = kong["environment"]["KONG_NGINX_HTTP_INCLUDE"].as_str().unwrap();
    let mounts = kong["volumes"].as_array().unwrap();
    let mount = mounts.iter().find_map(|m| m.as_str()?.strip_suffix(&format!(":{included}:ro")));
    let text = fs::read_to_string(mount.unwrap()).unwrap();

    let name = kong["environment"]["KONG_PROXY_ACCESS_LOG"].as_str().unwrap();
    let name = name.strip_prefix("/dev/stdout ").unwrap();
    let format = text.split(&format!("\nlog_format {name} ")).nth(1).unwrap();
    let variables = Regex::new(r"\$([a-z0-9_]+)").unwrap();
    let logged: Vec<_> =
        variables.captures_iter(format).map(|v| v.get(1).unwrap().as_str()).collect();
    assert!(logged.contains(&"range42_path") && logged.contains(&"status"), "{logged:?}");
    for whole in ["request", "request_uri", "args", "query_string", "http_apikey", "http_referer"] {
        assert!(!logged.contains(&whole), "{whole}");
    }
    let path =
        Regex::new(r"(?m)^map \$request_uri \$range42_path \{\n +~(\S+) \$\w+;\n\}$").unwrap();
    let path = Regex::new(&path.captures(&text).unwrap()[1]).unwrap();
    let found = path.captures("/ws/vm-status?apikey=s3cret&node=?").unwrap();
    assert_eq!(&found[1], "/ws/vm-status");
}

/// Runs the step of the image build that creates the user, on a system with Debian's groups. The
/// commands only print their arguments. UID is substituted in the text, since bash reserves it.
fn user_of_the_image(uid: &str, gid: &str) -> Output {
    const COMMANDS: &str = r#"
        groupadd() { echo "groupadd $*"; }
        useradd() { echo "useradd $*"; }
        install() { echo "install $*"; }
        getent() { [ "$1" = group ] && case $2 in 0 | 20 | 100) ;; *) return 2 ;; esac; }
    "#;
    let dockerfile = fs::read_to_string("Dockerfile").unwrap().replace("\\\n", "");
    let step = dockerfile.lines().find(|line| line.contains("useradd")).unwrap();
    let step = step.strip_prefix("RUN").unwrap().replace("$UID", uid).replace("$GID", gid);
    Command::new("/bin/sh").args(["-ec", &format!("{COMMANDS}{step}")]).output().unwrap()
}

#[test]
fn the_image_user_gets_the_given_uid_and_gid() {
    for (gid, makes_a_group) in [("1000", true), ("20", false), ("100", false)] {
        let output = user_of_the_image("501", gid);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{gid}: {said}");
        assert_eq!(
            said.contains(&format!("groupadd --gid {gid} range42\n")),
            makes_a_group,
            "{said}"
        );
        assert!(said.contains(&format!("useradd --uid 501 --gid {gid} ")), "{said}");
        assert!(
            said.contains(&format!("install --directory --owner 501 --group {gid} ")),
            "{said}"
        );
    }
    let output = user_of_the_image("0", "0");
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("UID=0 is root"), "{output:?}");
}

#[test]
fn files_written_by_the_guide_are_private_and_ignored_by_git() {
    let guide = fs::read_to_string("docs/deploy.md").unwrap();
    let ignored = fs::read_to_string(".gitignore").unwrap();
    let written =
        Regex::new(r#"> ?(~/)?(range42-vault|\.env|consumers|kong\.local\.yml|history-)"#).unwrap();
    let mut private = false;
    let mut found = BTreeSet::new();
    for line in guide.lines() {
        // Each block must set its own umask, since readers may copy only that block.
        private &= line.starts_with("    ");
        private |= line.starts_with("    umask 077");
        private &= line != "    umask 022";
        let writes = |code: &str| written.captures(code).map(|file| file[2].to_owned());
        if let Some(file) = line.strip_prefix("    ").and_then(writes) {
            assert!(private, "{line}");
            let here = !line.contains("~/range42-vault");
            assert!(!here || ignored.contains(&format!("\n/{file}")), "git does not ignore {file}");
            found.insert(file);
        }
    }
    assert_eq!(found.len(), 5, "{found:?}");
}

#[test]
fn every_python_package_has_a_hash() {
    for file in ["requirements.txt", "demo/requirements.txt", "tests/openapi/requirements.txt"] {
        let text = fs::read_to_string(file).unwrap().replace("\\\n", "");
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            assert!(line.contains("==") && line.contains(" --hash=sha256:"), "{file}: {line}");
        }
    }
    let installs = Regex::new(r"pip\S* .*install .*--require-hashes .*--requirement ").unwrap();
    for file in ["Dockerfile", "demo/Dockerfile", "scripts/set-up", "scripts/check-openapi"] {
        let text = fs::read_to_string(file).unwrap().replace("\\\n", "");
        assert!(text.lines().any(|line| installs.is_match(line)), "{file}");
    }
}

#[test]
fn the_image_contains_no_inventory() {
    let let_in = fs::read_to_string(".dockerignore").unwrap();
    let names: Vec<_> = let_in.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(names[0], "*", "what is not named stays out");
    assert!(!names.iter().any(|name| name.starts_with("!inventory") || *name == "!*"), "{names:?}");
    for file in ["Dockerfile", "demo/Dockerfile"] {
        let text = fs::read_to_string(file).unwrap();
        let copied =
            text.lines().filter(|line| line.starts_with("COPY") || line.starts_with("ADD"));
        assert!(!copied.clone().any(|line| line.contains("inventory")), "{file}");
        assert!(!copied.clone().any(|line| line.contains(" . ")), "{file}");
    }
}

#[test]
fn systemd_accepts_the_unit() {
    let unit = fs::read_to_string("deploy/range42-backend-api.service").unwrap();
    for (name, value) in [("KillMode", "mixed"), ("OOMPolicy", "continue"), ("PrivateTmp", "yes")] {
        assert!(unit.lines().any(|line| line == format!("{name}={value}")), "{name}");
    }
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("range42-backend-api.service");
    let binary = "/opt/range42-backend-api/target/release/range42-backend-api";
    assert!(unit.contains(&format!("ExecStart={binary}\n")));
    // systemd-analyze checks that the program exists, but nothing is installed here.
    fs::write(&copy, unit.replace(binary, "/bin/true")).unwrap();
    let analyze = installed(&[&["systemd-analyze"]])[0];
    let output = Command::new(analyze).arg("verify").arg(&copy).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let about = said.lines().filter(|line| line.contains("range42")).collect::<Vec<_>>();
    assert!(about.is_empty() && output.status.success(), "{said}");
}
