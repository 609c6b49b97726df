//! The credentials in `hosts.yml`, read each time they are needed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::inventory::{Credentials, InventoryError, parse_credentials, unreadable};

/// The error message for clients if the inventory contains no credentials.
pub const NOT_FOUND: &str = "Proxmox credentials not found in backend inventory";

/// The `hosts.yml` of the inventory, with a cache of its last content.
pub struct CredentialsFile {
    inventory_dir: PathBuf,
    cache: Mutex<Option<Cached>>,
}

#[derive(Clone)]
struct Cached {
    text: String,
    credentials: Arc<[Credentials]>,
}

impl CredentialsFile {
    /// Creates an empty cache without reading the file.
    pub fn new(inventory_dir: PathBuf) -> Self {
        Self { inventory_dir, cache: Mutex::new(None) }
    }

    /// Returns the node of the first credentials in the cache.
    pub fn default_node(&self) -> Option<String> {
        let cache = self.cache.lock().expect("nothing panics while it holds this lock");
        Some(cache.as_ref()?.credentials.first()?.node.clone())
    }

    /// Reads the credentials from the file. The file is parsed only if its content has changed. The
    /// modification time is not used, because it can miss changes in quick succession.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read, is empty or is not YAML.
    pub async fn read(&self) -> Result<Arc<[Credentials]>, InventoryError> {
        let file = self.inventory_dir.join("hosts.yml");
        let text = tokio::fs::read_to_string(&file).await;
        let text = text.map_err(|e| unreadable(&file, e.to_string()))?;
        if text.trim().is_empty() {
            // The file is probably about to be written. An error keeps the clients connected.
            return Err(unreadable(&file, "it is empty".to_owned()));
        }
        let mut cache = self.cache.lock().expect("nothing panics while it holds this lock");
        match &*cache {
            Some(cached) if cached.text == text => Ok(cached.credentials.clone()),
            _ => {
                let credentials: Arc<[_]> = parse_credentials(&text, &self.inventory_dir)?.into();
                *cache = Some(Cached { text, credentials: credentials.clone() });
                Ok(credentials)
            }
        }
    }
}
