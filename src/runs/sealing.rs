//! Seals the specifications of queued runs, because they contain secrets and are stored until the
//! run starts.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::io::Write;
use std::path::Path;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::runs::spec::{RunSpec, SPEC_VERSION, Secrets};

/// The first byte of what is sealed: the algorithm and the layout, `nonce || ciphertext || tag`.
const FORMAT: u8 = 1;

/// The bytes of a key (RFC 8439, section 2.8).
const KEY_LEN: usize = 32;

/// Why a specification cannot be read.
#[derive(Debug, Error)]
pub enum UnsealError {
    /// It was sealed with another key, for another run, or was changed.
    #[error("it was not sealed with the key of this server, or it was modified")]
    Key,
    /// A server of another version sealed it.
    #[error("its version is not that of this server")]
    Version,
}

/// Seals specifications with ChaCha20-Poly1305 and a key from a file.
pub struct SealingKey {
    key: LessSafeKey,
    random: SystemRandom,
}

#[derive(Serialize)]
struct Sealed<'a> {
    spec: &'a RunSpec,
    secrets: BTreeMap<&'a str, &'a str>,
}

#[derive(Deserialize)]
struct Unsealed {
    spec: RunSpec,
    secrets: BTreeMap<String, String>,
}

impl SealingKey {
    /// Reads the key. If there is no file, creates one that only the service's user can read.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or created, or holds no key.
    ///
    /// # Blocking
    ///
    /// Reads and writes a file.
    pub fn open_or_create(file: &Path) -> io::Result<Self> {
        let random = SystemRandom::new();
        let bytes = match fs::read(file) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => create(file, &random)?,
            read => read?,
        };
        let key = UnboundKey::new(&CHACHA20_POLY1305, &bytes).map_err(|_| {
            let (file, length) = (file.display(), bytes.len());
            io::Error::other(format!(
                "{file} is not a valid key: expected {KEY_LEN} bytes, found {length}"
            ))
        })?;
        Ok(Self { key: LessSafeKey::new(key), random })
    }

    /// Seals the specification of the run `id`.
    ///
    /// # Errors
    ///
    /// If the system has no random numbers.
    pub fn seal(&self, id: Uuid, spec: &RunSpec) -> io::Result<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| io::Error::other("no random numbers"))?;
        let mut text = serde_json::to_vec(&Sealed { spec, secrets: spec.secrets.exposed() })?;
        let aad = Aad::from(id.into_bytes());
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text)
            .map_err(|_| io::Error::other("the specification is too large to seal"))?;
        Ok([&[FORMAT][..], &nonce, &text].concat())
    }

    /// Returns the specification of the run `id`.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn unseal(&self, id: Uuid, sealed: &[u8]) -> Result<RunSpec, UnsealError> {
        let (format, rest) = sealed.split_first().ok_or(UnsealError::Version)?;
        if *format != FORMAT {
            return Err(UnsealError::Version);
        }
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>().ok_or(UnsealError::Key)?;
        let mut text = text.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let aad = Aad::from(id.into_bytes());
        let text = self.key.open_in_place(nonce, aad, &mut text).map_err(|_| UnsealError::Key)?;
        let Unsealed { spec, secrets } =
            serde_json::from_slice(text).map_err(|_| UnsealError::Version)?;
        if spec.spec_version != SPEC_VERSION {
            return Err(UnsealError::Version);
        }
        Ok(RunSpec { secrets: Secrets::from_exposed(secrets), ..spec })
    }
}

/// Writes a new key under another name first, so that a file of this name is always complete.
fn create(file: &Path, random: &SystemRandom) -> io::Result<Vec<u8>> {
    let mut key = vec![0; KEY_LEN];
    random.fill(&mut key).map_err(|_| io::Error::other("no random numbers"))?;
    let folder = file.parent().unwrap_or(Path::new("."));
    // Its mode is 0600.
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(&key)?;
    new.as_file().sync_all()?;
    new.persist_noclobber(file).map_err(|error| error.error)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::ansible::extra_vars;
    use crate::runs::spec::Step;

    const SECRET: &str = "a secret that nobody else has";

    /// JSON with any text, NUL included, and any order of keys.
    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn key(folder: &Path) -> SealingKey {
        SealingKey::open_or_create(&folder.join("secret.key")).unwrap()
    }

    fn spec(variables: &[(String, Value)], secret_at: usize) -> (RunSpec, String) {
        let mut extra_vars: Map<String, Value> = variables.iter().cloned().collect();
        let secret = ("a_password".to_owned(), Value::from(SECRET));
        extra_vars.shift_insert(secret_at.min(extra_vars.len()), secret.0, secret.1);
        let text = extra_vars::to_yaml(&extra_vars);
        let mut secrets = Secrets::default();
        secrets.take_from(0, &mut extra_vars, &[SECRET]);
        let step = json!({ "playbook": {
            "playbook": { "root": "bundles", "file": "a/main.yml" },
            "limit": "web", "tags": null, "extra_vars": extra_vars,
        }});
        let spec = json!({
            "spec_version": SPEC_VERSION, "operation": "o", "consumer": "a", "node": "px",
            "request": { "path_parameters": { "name": "a/b" }, "body": { "hosts": null } },
            "guests": ["100"], "join_key": "k", "deletes": false, "action": "vm_list",
            "claims": [{ "guest": { "node": "px", "id": "100", "group": null } }, { "other": "x" }],
            "steps": [step],
        });
        let spec: RunSpec = serde_json::from_value(spec).unwrap();
        (RunSpec { secrets, ..spec }, text)
    }

    fn extra_vars_of(spec: RunSpec) -> String {
        let Some(Step::Playbook { mut extra_vars, .. }) = spec.steps.into_iter().next() else {
            panic!("the step is another one")
        };
        spec.secrets.reveal_in(0, &mut extra_vars);
        extra_vars::to_yaml(&extra_vars)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_sealed_specification_has_the_same_extra_variables_to_the_byte(
            variables in prop::collection::vec((any::<String>(), json_value()), 0..6),
            secret_at in 0_usize..6,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let (spec, text) = spec(&variables, secret_at);
            let debug = format!("{spec:?}");
            prop_assert!(!debug.contains(SECRET));
            let plain = serde_json::to_string(&spec).unwrap();
            prop_assert!(!plain.contains(SECRET));
            let id = Uuid::now_v7();
            let sealed = key(folder.path()).seal(id, &spec).unwrap();
            prop_assert!(!sealed.windows(8).any(|bytes| bytes == &SECRET.as_bytes()[..8]));
            // As the next server reads it.
            let unsealed = key(folder.path()).unseal(id, &sealed).unwrap();
            prop_assert_eq!(serde_json::to_string(&unsealed).unwrap(), plain);
            prop_assert_eq!(extra_vars_of(unsealed), text);
        }
    }

    #[test]
    fn another_run_another_key_and_a_changed_byte_are_rejected() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [own, other] = folders.each_ref().map(|folder| key(folder.path()));
        let id = Uuid::now_v7();
        let mut sealed = own.seal(id, &spec(&[], 0).0).unwrap();
        assert!(matches!(own.unseal(Uuid::now_v7(), &sealed), Err(UnsealError::Key)));
        assert!(matches!(other.unseal(id, &sealed), Err(UnsealError::Key)));
        assert!(matches!(own.unseal(id, &sealed[..5]), Err(UnsealError::Key)));
        *sealed.last_mut().unwrap() ^= 1;
        assert!(matches!(own.unseal(id, &sealed), Err(UnsealError::Key)));
        sealed[0] = FORMAT + 1;
        assert!(matches!(own.unseal(id, &sealed), Err(UnsealError::Version)));
    }

    #[test]
    fn a_file_that_holds_no_key_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret.key"), "short").unwrap();
        let error = SealingKey::open_or_create(&folder.path().join("secret.key")).err().unwrap();
        assert!(
            error.to_string().ends_with("is not a valid key: expected 32 bytes, found 5"),
            "{error}"
        );
    }
}
