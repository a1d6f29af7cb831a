//! A node is its disk. One that lost it has forgotten whom it voted for, and could vote twice in a term: so each
//! log draws a number when its folder is made, shows it in everything it says, and the others remember it for
//! ever. Under the same id with another number, a node is neither heard nor believed.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use decide::NodeId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::disk::Disk;

/// The disks this node knows, its own first of all.
pub(crate) struct Stores {
    mine: u64,
    disk: Arc<Disk>,
    /// Read from disk when it is first needed.
    known: Mutex<BTreeMap<NodeId, u64>>,
}

/// A message and the disk it comes from.
#[derive(Serialize, Deserialize)]
struct Sealed<T> {
    store: u64,
    message: T,
}

impl Stores {
    pub(crate) fn open(disk: Arc<Disk>) -> io::Result<Self> {
        let mine = match disk.get("store")? {
            Some(mine) => mine,
            None => {
                let drawn = wire::clock::seed();
                let mut change = disk.change();
                change.put("store", &drawn);
                disk.write_now(change.finish()?, true)?;
                drawn
            }
        };
        Ok(Self { mine, disk, known: Mutex::default() })
    }

    pub(crate) fn seal(&self, message: impl Serialize) -> Result<Bytes, String> {
        let sealed = Sealed { store: self.mine, message };
        serde_json::to_vec(&sealed).map(Bytes::from).map_err(|error| format!("encode a message: {error}"))
    }

    /// What `from` says, if it is the one that was here before.
    pub(crate) async fn unseal<T: DeserializeOwned>(
        &self,
        from: NodeId,
        message: &[u8],
    ) -> Result<T, String> {
        let sealed: Sealed<T> = serde_json::from_slice(message)
            .map_err(|error| format!("read a message: {error} (do both nodes run the same version?)"))?;
        match self.store_of(from, sealed.store).await {
            Ok(known) if known == sealed.store => Ok(sealed.message),
            Ok(_) => Err(format!(
                "{from} has lost its control log and may have forgotten a vote: remove it, and add it under a new id"
            )),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The store this node has, if it was ever seen; else it is `shown`, from now on.
    async fn store_of(&self, node: NodeId, shown: u64) -> io::Result<u64> {
        let mut known = self.known.lock().await;
        if let Some(store) = known.get(&node) {
            return Ok(*store);
        }
        let name = format!("store of {}", node.0);
        let store = match self.disk.get(&name)? {
            Some(store) => store,
            None => {
                let mut change = self.disk.change();
                change.put(&name, &shown);
                self.disk.write(change.finish()?).await?;
                shown
            }
        };
        known.insert(node, store);
        Ok(store)
    }
}
