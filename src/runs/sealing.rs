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
    #[error("it was not sealed with the key of this server")]
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
            io::Error::other(format!("{file} holds {length} bytes, and a key has {KEY_LEN}"))
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
