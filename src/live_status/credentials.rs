//! The credentials in `hosts.yml`, read again whenever they are needed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::inventory::{Credentials, InventoryError, credentials_in, unreadable};

/// What clients are told where the inventory has none.
pub const NOT_FOUND: &str = "Proxmox credentials not found in backend inventory";

/// The inventory's `hosts.yml`, with what was last found in it.
pub struct CredentialsFile {
    inventory_dir: PathBuf,
    last: Mutex<Option<Read>>,
}

#[derive(Clone)]
struct Read {
    text: String,
    credentials: Arc<[Credentials]>,
}

impl CredentialsFile {
    /// Nothing is read yet.
    pub fn new(inventory_dir: PathBuf) -> Self {
        Self { inventory_dir, last: Mutex::new(None) }
    }

    /// The node of the first credentials, as far as anybody has read.
    pub fn default_node(&self) -> Option<String> {
        let last = self.last.lock().expect("nothing panics with this lock");
        Some(last.as_ref()?.credentials.first()?.node.clone())
    }

    /// The credentials as they are in the file now. The text is compared rather than the time
    /// of change, which misses a second change within a tick of the clock; only a changed text
    /// is parsed.
    pub async fn read(&self) -> Result<Arc<[Credentials]>, InventoryError> {
        let file = self.inventory_dir.join("hosts.yml");
        let text = tokio::fs::read_to_string(&file).await;
        let text = text.map_err(|e| unreadable(&file, e.to_string()))?;
        if text.trim().is_empty() {
            // Somebody is about to write it: no reason to send every client away.
            return Err(unreadable(&file, "it is empty".to_owned()));
        }
        let mut last = self.last.lock().expect("nothing panics with this lock");
        match &*last {
            Some(read) if read.text == text => Ok(read.credentials.clone()),
            _ => {
                let credentials: Arc<[_]> = credentials_in(&text, &self.inventory_dir)?.into();
                *last = Some(Read { text, credentials: credentials.clone() });
                Ok(credentials)
            }
        }
    }
}
