//! Which secrets are redacted from the output of a run.

use crate::config::{Settings, VaultSource};
use crate::inventory;
use crate::redaction::{Redaction, is_secret_name};

/// Returns a redaction of `secrets` and of the secrets in the settings and the inventory.
///
/// # Blocking
///
/// Reads the inventory, the variables file and the vault password file anew, since they may have
/// changed since the last run.
pub fn redaction<T: AsRef<str>>(
    settings: &Settings,
    secrets: impl Iterator<Item = T>,
) -> Redaction {
    let secrets: Vec<T> = secrets.collect();
    let vault = match &settings.vault {
        VaultSource::Password(password) => Some(password.clone()),
        VaultSource::File(file) => std::fs::read_to_string(file).ok(),
        VaultSource::None => None,
    };
    let vars_file = settings.vars_file.as_deref();
    let known = inventory::plain_values(&settings.inventory, vars_file, &is_secret_name);
    let own = vault.iter().chain(&settings.gateway.secret);
    Redaction::of(
        known.iter().chain(own).map(String::as_str).chain(secrets.iter().map(AsRef::as_ref)),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::redaction::HIDDEN;

    #[test]
    fn plain_secrets_in_variable_files_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let more = dir.path().join("vars.yml");
        std::fs::write(&more, "extra_password: from-more\nhost_name: public\n").unwrap();
        let hosts = "all:\n  vars:\n    a_password: 987654321\n    user_passwords: [first-one, !unsafe second-one]\n    \
                     credentials: {api_key: {x: nested-one}}\n    b_token: !vault |\n      $ANSIBLE_VAULT;1.1;AES256\n";
        std::fs::write(dir.path().join("hosts.yml"), hosts).unwrap();
        let mut texts = inventory::plain_values(dir.path(), Some(&more), &is_secret_name);
        texts.sort();
        assert_eq!(texts, ["987654321", "first-one", "from-more", "nested-one", "second-one"]);
        let mut value = json!({ "n": 987654321, "m": 1987654321, "t": "987654321" });
        Redaction::of(texts.iter().map(String::as_str)).value(&mut value);
        assert_eq!(value, json!({ "n": HIDDEN, "m": 1987654321, "t": HIDDEN }));
    }
}
