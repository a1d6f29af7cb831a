//! The configurations that sites accepted and sent, with the addresses and passwords of their cameras.
//!
//! Each lies in a file of its own that only this user can read, as it came: sealed to this node, whose private key is elsewhere.
//! It is synced before it counts, so that a node that restarts while a site is dead can still record that site. Nothing here
//! is ever printed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use decide::SiteId;
use prost::Message;
use site_agent::config::Accepted;
use site_agent::config::accepted::NotAccepted;
use site_agent::private_file;
use tokio::sync::{mpsc, watch};
use wire::proto;
use wire::seal::{OpeningKey, SealError, SealingKey};

use super::{Facts, Rule, address_map};

/// Facts that wait to be proposed: one for each site and start.
const FACTS: usize = 16 * 1024;

/// Why a configuration was not kept.
#[derive(Debug, thiserror::Error)]
pub enum AcceptedError {
    /// It makes no sense.
    #[error(transparent)]
    NotAccepted(#[from] NotAccepted),
    /// It can't be opened.
    #[error("configuration of site {site}: {source}")]
    Sealed {
        /// Whose.
        site: SiteId,
        /// Why not.
        source: SealError,
    },
    /// A file could not be read or written.
    #[error("{what} {path}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// All of them.
pub struct AcceptedConfigs {
    dir: PathBuf,
    /// Opens them.
    key: OpeningKey,
    /// How their cameras are reached from here.
    rules: Vec<Rule>,
    kept: Mutex<BTreeMap<SiteId, Arc<Accepted>>>,
    /// One writer at a time: the newer revision wins on disk as well.
    writing: tokio::sync::Mutex<()>,
    changes: watch::Sender<u64>,
    facts: mpsc::Sender<Facts>,
}

impl AcceptedConfigs {
    /// Reads what is kept in `dir`, making it if there is none. The facts of all of it come first: whether they
    /// were proposed before, the control log knows.
    pub fn open(
        dir: &Path,
        rules: Vec<Rule>,
        key: OpeningKey,
    ) -> Result<(Self, mpsc::Receiver<Facts>), AcceptedError> {
        let io = |what| move |source| AcceptedError::Io { what, path: dir.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io("make folder"))?;
        let mut kept = BTreeMap::new();
        let (facts, handed_out) = mpsc::channel(FACTS);
        for entry in fs::read_dir(dir).map_err(io("list folder"))?.flatten() {
            let path = entry.path();
            let Some(site) = entry.file_name().to_str().and_then(|name| SiteId::new(name).ok()) else {
                continue; // one that was not finished: a site's name has no point
            };
            match read(&key, &site, &path) {
                Ok(mut accepted) => {
                    address_map::apply(&rules, &mut accepted);
                    let _ = facts.try_send(Facts::of(&accepted)); // a site that is too many tells again
                    kept.insert(site, Arc::new(accepted));
                }
                Err(error) => {
                    tracing::error!(%error, "a kept configuration can't be used; its site sends it again")
                }
            }
        }
        let configs = Self {
            dir: dir.to_owned(),
            key,
            rules,
            kept: Mutex::new(kept),
            writing: tokio::sync::Mutex::default(),
            changes: watch::Sender::default(),
            facts,
        };
        Ok((configs, handed_out))
    }

    /// What sites are to seal theirs to.
    pub fn sealing_key(&self) -> &SealingKey {
        self.key.sealing_key()
    }

    /// Keeps what a site sent, and hands its facts out to be proposed. Durable when this returns.
    pub async fn take(&self, site: &SiteId, told: &proto::Sealed) -> Result<(), AcceptedError> {
        let accepted = self.keep(site, told).await?;
        if self.facts.try_send(Facts::of(&accepted)).is_err() {
            tracing::error!(%site, "nobody proposes its cameras to the control log");
        }
        Ok(())
    }

    /// Keeps what a site sent, unless it is what is known or older; what is known then. Durable when this returns.
    pub async fn keep(&self, site: &SiteId, told: &proto::Sealed) -> Result<Arc<Accepted>, AcceptedError> {
        let mut accepted = opened(&self.key, site, told)?;
        address_map::apply(&self.rules, &mut accepted);
        let accepted = Arc::new(accepted);
        let _turn = self.writing.lock().await;
        if let Some(known) = self.of(site).filter(|known| known.revision >= accepted.revision) {
            return Ok(known);
        }
        let (dir, name, bytes) = (self.dir.clone(), site.as_str().to_owned(), told.encode_to_vec());
        let written = tokio::task::spawn_blocking(move || write(&dir, &name, &bytes)).await;
        written.map_err(|error| AcceptedError::Io {
            what: "write",
            path: self.dir.join(site.as_str()),
            source: std::io::Error::other(error),
        })??;
        tracing::info!(%site, revision = accepted.revision, cameras = accepted.cameras.len(), "took its configuration");
        self.lock().insert(site.clone(), accepted.clone());
        self.changes.send_modify(|count| *count += 1);
        Ok(accepted)
    }

    /// One site's.
    pub fn of(&self, site: &SiteId) -> Option<Arc<Accepted>> {
        self.lock().get(site).cloned()
    }

    /// Changes whenever any of them does.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SiteId, Arc<Accepted>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn opened(key: &OpeningKey, site: &SiteId, told: &proto::Sealed) -> Result<Accepted, AcceptedError> {
    let sealed = |source| AcceptedError::Sealed { site: site.clone(), source };
    let bytes = key.open(site, told).map_err(sealed)?;
    let told = proto::Configuration::decode(bytes.as_slice()).map_err(|_| sealed(SealError::Altered))?;
    Ok(Accepted::read(site, &told)?)
}

fn read(key: &OpeningKey, site: &SiteId, path: &Path) -> Result<Accepted, AcceptedError> {
    let io = |source| AcceptedError::Io { what: "read configuration", path: path.to_owned(), source };
    let bytes = fs::read(path).map_err(io)?;
    let told = proto::Sealed::decode(bytes.as_slice()).map_err(|error| io(std::io::Error::other(error)))?;
    opened(key, site, &told)
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), AcceptedError> {
    let io = |source| AcceptedError::Io { what: "write configuration", path: dir.join(name), source };
    private_file::replace(dir, name, bytes).map_err(io)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use decide::CameraId;

    use super::*;

    fn told(revision: u64, password: &str) -> proto::Configuration {
        let stream = proto::StreamConfiguration {
            name: "main".to_owned(),
            url: "rtsp://10.0.0.5/one".to_owned(),
            rate_bps: 2_000_000,
            log_in: Some(proto::LogIn { username: "viewer".to_owned(), password: password.to_owned() }),
            connect_timeout_ms: 5_000,
            ..Default::default()
        };
        let camera = proto::CameraConfiguration {
            id: "till-1".to_owned(),
            priority: 9,
            streams: vec![stream],
            ..Default::default()
        };
        proto::Configuration {
            revision,
            tier: "warm".to_owned(),
            segment_ms: 10_000,
            fragment_ms: 1_000,
            cameras: vec![camera],
            log_ins_since: 0,
            hosts: Vec::new(),
            drills: String::new(),
        }
    }

    fn site() -> SiteId {
        SiteId::new("shop-1").unwrap()
    }

    fn key(n: u8) -> OpeningKey {
        OpeningKey::derive(&[n; 32])
    }

    fn sealed(revision: u64, password: &str) -> proto::Sealed {
        key(1).sealing_key().seal(&site(), &told(revision, password).encode_to_vec()).unwrap()
    }

    fn password(configs: &AcceptedConfigs) -> String {
        let accepted = configs.of(&site()).unwrap();
        accepted.cameras[0].streams[0].credentials.as_ref().unwrap().password.reveal().to_owned()
    }

    #[tokio::test]
    async fn the_newest_revision_is_kept_and_outlives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("standby");
        let (configs, mut facts) = AcceptedConfigs::open(&folder, Vec::new(), key(1)).unwrap();
        configs.take(&site(), &sealed(2, "new")).await.unwrap();
        configs.take(&site(), &sealed(1, "old")).await.unwrap();
        assert_eq!(password(&configs), "new");
        // Whoever took the first may not have been the one to tell the log: what is known is told again.
        assert_eq!([(); 2].map(|()| facts.try_recv().unwrap().revision), [2, 2], "never an old revision");
        assert!(facts.try_recv().is_err());
        drop(configs);

        let (configs, mut facts) = AcceptedConfigs::open(&folder, Vec::new(), key(1)).unwrap();
        assert_eq!(password(&configs), "new");
        let facts = facts.try_recv().unwrap();
        let spec = facts.cameras[&CameraId::new("shop-1/till-1").unwrap()];
        assert_eq!((facts.revision, spec.priority, spec.main.0, spec.sub), (2, 9, 2_000_000, None));
    }

    #[tokio::test]
    async fn only_this_user_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let (configs, _facts) =
            AcceptedConfigs::open(&dir.path().join("standby"), Vec::new(), key(1)).unwrap();
        configs.take(&site(), &sealed(1, "secret")).await.unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&dir.path().join("standby")), 0o700);
        assert_eq!(mode(&dir.path().join("standby/shop-1")), 0o600);
        assert_eq!(fs::read_dir(dir.path().join("standby")).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn the_disk_without_the_private_key_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (configs, _facts) = AcceptedConfigs::open(dir.path(), Vec::new(), key(1)).unwrap();
        configs.take(&site(), &sealed(1, "secret")).await.unwrap();
        let kept = fs::read(dir.path().join("shop-1")).unwrap();
        for word in ["secret", "viewer", "10.0.0.5"] {
            assert!(!kept.windows(word.len()).any(|bytes| bytes == word.as_bytes()), "{word}");
        }
        drop(configs);
        // Another key, or another site's file: its site sends it again.
        fs::rename(dir.path().join("shop-1"), dir.path().join("shop-2")).unwrap();
        let (configs, _facts) = AcceptedConfigs::open(dir.path(), Vec::new(), key(1)).unwrap();
        assert!(configs.of(&SiteId::new("shop-2").unwrap()).is_none());
        fs::rename(dir.path().join("shop-2"), dir.path().join("shop-1")).unwrap();
        let (configs, _facts) = AcceptedConfigs::open(dir.path(), Vec::new(), key(2)).unwrap();
        assert!(configs.of(&site()).is_none());
        let refused = configs.take(&site(), &sealed(2, "new")).await.unwrap_err();
        assert!(refused.to_string().contains("another key"), "{refused}");
    }

    #[tokio::test]
    async fn what_was_cut_short_or_damaged_is_not_taken_for_a_configuration() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("shop-1.new"), b"half").unwrap();
        fs::write(dir.path().join("shop-2"), [0xff; 9]).unwrap();
        let (configs, _facts) = AcceptedConfigs::open(dir.path(), Vec::new(), key(1)).unwrap();
        assert!(configs.of(&site()).is_none() && configs.of(&SiteId::new("shop-2").unwrap()).is_none());
        configs.take(&site(), &sealed(1, "secret")).await.unwrap();
        assert_eq!(password(&configs), "secret");
    }
}
