//! A vault with a standby host, and what comes out of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dc_hub::standby::{AcceptedConfigs, Options, Outputs, StandbyHost};
use dc_hub::vault::Vault;
use decide::PathId;
use decide::beat::Beat;
use decide::evidence::Answers;
use decide::standby::RunnerSettings;
use prost::Message;
use site_agent::archive::verify::{Report, verify};
use site_agent::coverage::{Span, Viewpoint};
use site_agent::live::Live;
use site_agent::serve::{NoTails, Present, timeline};
use tempfile::TempDir;
use url::Url;
use wire::seal::OpeningKey;
use wire::{UnixMicros, proto};

use super::SOON;
use super::fleet::{Fleet, hub, site};

/// Where a vault lies.
pub(crate) enum Dir {
    Made(TempDir),
    Given(PathBuf),
}

impl Dir {
    fn path(&self) -> &Path {
        match self {
            Self::Made(dir) => dir.path(),
            Self::Given(dir) => dir,
        }
    }
}

pub(crate) struct Host {
    dir: Dir,
    pub(crate) vault: Vault,
    pub(crate) live: Arc<Live>,
    accepted: Arc<AcceptedConfigs>,
    pub(crate) standby: StandbyHost,
    outputs: Outputs,
    revision: u64,
}

impl Host {
    pub(crate) async fn start() -> Self {
        Self::restart(Dir::Made(tempfile::tempdir().unwrap())).await
    }

    /// With what an earlier one left.
    pub(crate) async fn restart(dir: Dir) -> Self {
        let vault = Vault::open(&dir.path().join("vault"), 64 << 20).unwrap();
        let (accepted, _facts) =
            AcceptedConfigs::open(&dir.path().join("standby"), Vec::new(), OpeningKey::derive(&[1; 32]))
                .unwrap();
        let (accepted, live) = (Arc::new(accepted), Arc::<Live>::default());
        let (standby, outputs) = StandbyHost::start(Options {
            host: hub(),
            path: PathId::new("wan").unwrap(),
            archive: vault.archive().clone(),
            live: live.clone(),
            accepted: accepted.clone(),
            runner: RunnerSettings::default(),
        });
        Self { dir, vault, live, accepted, standby, outputs, revision: 0 }
    }

    /// The site tells of its cameras.
    pub(crate) async fn accept(&mut self, cameras: &[(&str, Url)]) {
        let camera = |(id, url): &(&str, Url)| proto::CameraConfiguration {
            id: (*id).to_owned(),
            streams: vec![proto::StreamConfiguration {
                name: "main".to_owned(),
                url: url.to_string(),
                rate_bps: 2_000_000,
                connect_timeout_ms: 5_000,
                ..Default::default()
            }],
            ..Default::default()
        };
        self.revision += 1;
        let told = proto::Configuration {
            revision: self.revision,
            tier: "warm".to_owned(),
            segment_ms: 4_000,
            fragment_ms: 500,
            cameras: cameras.iter().map(camera).collect(),
            log_ins_since: 0,
            hosts: Vec::new(),
            drills: String::new(),
        };
        let sealed = self.accepted.sealing_key().seal(&site(), &told.encode_to_vec()).unwrap();
        self.accepted.take(&site(), &sealed).await.unwrap();
    }

    pub(crate) fn apply(&self, fleet: &Fleet) {
        self.standby.handle_state(fleet.state());
    }

    /// The first report that will do.
    pub(crate) async fn report(&mut self, will_do: impl Fn(&Answers) -> bool) -> Answers {
        let report = async {
            loop {
                let answers = self.outputs.answers.recv().await.unwrap();
                if will_do(&answers) {
                    return answers;
                }
            }
        };
        tokio::time::timeout(SOON, report).await.expect("a report that will do, in time")
    }

    /// Waits until so many cameras answer.
    pub(crate) async fn answering(&mut self, count: usize) -> Answers {
        self.report(|answers| answers.cameras.len() == count && answers.unbroken.is_some()).await
    }

    /// The first beat that will do.
    pub(crate) async fn beat(&mut self, will_do: impl Fn(&Beat) -> bool) -> Beat {
        let beat = async {
            loop {
                let (of, beat) = self.outputs.beats.recv().await.unwrap();
                assert_eq!(of, site());
                if !beat.cameras.is_empty() && will_do(&beat) {
                    return beat;
                }
            }
        };
        tokio::time::timeout(SOON, beat).await.expect("a beat that will do, in time")
    }

    pub(crate) fn nothing_recorded(&self) {
        assert!(self.vault.archive().ledgers().is_empty());
    }

    /// When the first frame of each of so many streams arrived.
    pub(crate) async fn first_parts(&self, streams: usize) -> Vec<UnixMicros> {
        let (open, mut parts) = self.live.tap();
        let mut first = std::collections::BTreeMap::new();
        let mut take = |stream: &wire::StreamId, start| {
            first.entry(stream.clone()).or_insert(start);
            first.len() == streams
        };
        let mut done = open.iter().any(|part| take(&part.ledger.stream, part.start));
        while !done {
            let part = tokio::time::timeout(SOON, parts.recv()).await.expect("a part in time").unwrap();
            done = take(&part.ledger.stream, part.start);
        }
        first.into_values().collect()
    }

    /// Waits until every ledger has ended.
    pub(crate) async fn run_ended(&self) {
        let ended = async {
            while !self.vault.archive().open_ledgers().is_empty() {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(SOON, ended).await.expect("the run ends in time");
    }

    /// The timeline of a camera from `from` to now, without what is still open.
    pub(crate) fn timeline(&self, camera: &str, from: UnixMicros) -> Vec<Span> {
        let now = wire::clock::wall();
        let stream = wire::StreamId::new(camera, "main").unwrap();
        let present =
            Present { current: None, viewpoint: Viewpoint::Vault { late: None }, now, ..Present::default() };
        let archive = self.vault.archive();
        timeline(archive, &NoTails, (&site(), &stream), (from, now), present).unwrap().spans
    }

    /// Waits until the timeline will do.
    pub(crate) async fn timeline_with(
        &self,
        camera: &str,
        from: UnixMicros,
        will_do: impl Fn(&[Span]) -> bool,
    ) {
        let written = async {
            while !will_do(&self.timeline(camera, from)) {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        let written = tokio::time::timeout(SOON, written).await;
        assert!(written.is_ok(), "{:?}", self.timeline(camera, from));
    }

    /// Ends everything; what is left is the folder.
    pub(crate) async fn stop(self) -> Dir {
        self.standby.stop().await;
        drop((self.vault, self.live, self.outputs));
        self.dir
    }
}

/// Re-reads a vault that nobody has open.
pub(crate) fn verified(dir: &Dir) -> Report {
    let path: &Path = &dir.path().join("vault");
    verify(path, |_| {}).unwrap()
}
