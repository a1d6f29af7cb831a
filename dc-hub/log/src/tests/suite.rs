//! openraft's own storage tests, on our store.

use std::sync::Arc;

use decide::NodeId;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};

use crate::disk::Disk;
use crate::feed::Feed;
use crate::machine::Machine;
use crate::raft::Types;
use crate::store::Store;

struct OnDisk;

impl StoreBuilder<Types, Store, Machine, tempfile::TempDir> for OnDisk {
    async fn build(&self) -> Result<(tempfile::TempDir, Store, Machine), StorageError<Types>> {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path().join("log"), NodeId(1)).unwrap();
        Ok((dir, Store { disk: disk.clone() }, Machine::new(disk, Arc::new(Feed::new()))))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openrafts_storage_suite_passes() {
    Suite::test_all(OnDisk).await.unwrap();
}
