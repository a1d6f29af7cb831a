//! A way back for a daemon whose archive has stopped: once its disk works again the process ends, with an error, and
//! whoever supervises it starts it anew. Only a start may trust a disk again, since it looks at what is on it.
//!
//! As long as the disk doesn't work the daemon stays: cameras are watched, and what they send still goes to the hub.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::archive::{Archive, Use};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(2);
/// What a disk that works takes.
const PIECE: [u8; 4096] = [0x5a; 4096];
/// The file that it is written to.
pub(crate) const PROBE: &str = "probe";

/// Was the process ended to be started anew?
#[derive(Clone, Debug, Default)]
pub struct Renewal(Arc<AtomicBool>);

impl Renewal {
    /// Looks after an archive, and whatever else `failed` tells of, until `stop`, which it may bring about.
    pub fn watch(
        archive: Archive,
        failed: impl Fn() -> bool + Send + 'static,
        stop: CancellationToken,
    ) -> Self {
        let renewal = Self::default();
        let renewed = renewal.0.clone();
        tokio::spawn(async move {
            if stop.run_until_cancelled(works_again(archive, failed)).await.is_some() {
                tracing::error!("the archive stopped, and its disk works again: ending, to be started anew");
                renewed.store(true, Ordering::Relaxed);
                stop.cancel();
            }
        });
        renewal
    }

    /// Is it to end for that?
    pub fn is_due(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// How a process ends that was to end.
    pub fn end(&self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.is_due(), "the disk works again: start this program anew");
        Ok(())
    }
}

async fn works_again(archive: Archive, failed: impl Fn() -> bool) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        if !failed() {
            continue;
        }
        let probed = archive.clone();
        // One that hangs is waited for: so long there is nothing to begin anew with.
        if tokio::task::spawn_blocking(move || works(&probed)).await.unwrap_or(false) {
            return;
        }
    }
}

fn works(archive: &Archive) -> bool {
    archive.room().admits(PIECE.len() as u64, Use::Media) && probe(archive.dir()).is_ok()
}

/// Writes a file, and sees that it is there.
pub(crate) fn probe(dir: &Path) -> io::Result<()> {
    let path = dir.join(PROBE);
    let mut file = File::create(&path)?;
    file.write_all(&PIECE)?;
    file.sync_all()?;
    drop(file);
    let same = fs::read(&path)? == PIECE;
    fs::remove_file(&path)?;
    File::open(dir)?.sync_all()?;
    if same { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_failed_ends_when_the_disk_works() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::open(dir.path()).unwrap();
        let (failed, stop) = (Arc::new(AtomicBool::new(false)), CancellationToken::new());
        let told = failed.clone();
        let renewal = Renewal::watch(archive, move || told.load(Ordering::Relaxed), stop.clone());
        assert!(renewal.end().is_ok() && !stop.is_cancelled(), "nothing is wrong");
        failed.store(true, Ordering::Relaxed);
        stop.cancelled().await;
        assert!(renewal.is_due() && renewal.end().is_err());
    }

    #[test]
    fn a_disk_that_is_not_there_does_not_work() {
        assert!(probe(Path::new("/nonexistent")).is_err());
    }
}
