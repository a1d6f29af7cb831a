//! The site's own recorder, and its footage brought to the vault by hand.

use dc_hub::vault::Vault;
use site_agent::archive::{Archive, Change, layout};
use site_agent::config::load_site;
use site_agent::virtual_server::VirtualServer;
use tempfile::TempDir;
use url::Url;
use wire::{OriginId, SegmentNumber, Seq};

pub(crate) struct Recorder {
    _dir: TempDir,
    archive: Archive,
    server: VirtualServer,
}

impl Recorder {
    pub(crate) async fn start(camera: &Url) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("site.toml");
        let text = format!(
            "[site]\nid = \"shop-1\"\n[archive]\ndir = \"archive\"\nsegment_s = 2\nfragment_ms = 500\n[[camera]]\n\
             id = \"one\"\n[[camera.stream]]\nname = \"main\"\nurl = \"{camera}\"\n"
        );
        std::fs::write(&file, text).unwrap();
        let (config, _) = load_site(&file).unwrap();
        let archive = Archive::open(&config.archive.dir).unwrap();
        let server = VirtualServer::start(&config, archive.clone(), Default::default()).await.unwrap();
        Self { _dir: dir, archive, server }
    }

    /// Ends it, and gives the vault all it recorded.
    pub(crate) async fn stop_into(self, vault: &Vault) -> OriginId {
        let origin = self.server.origin();
        self.server.stop().await;
        for (ledger, record) in self.archive.ledgers() {
            let (site, opened) = (record.site().unwrap(), record.opened());
            let to = vault.archive();
            to.submit(Change::Open { ledger: ledger.clone(), site: site.clone(), opened }).await.unwrap();
            let entries = self.archive.entries(&ledger, 0..record.next).unwrap();
            let segments: Vec<_> = (0..)
                .map(Seq)
                .zip(&entries)
                .filter_map(|(seq, entry)| Some((seq, SegmentNumber(entry.segment()?.number))))
                .collect();
            let change = Change::Entries { site, ledger: ledger.clone(), first: Seq(0), entries };
            to.submit(change).await.unwrap();
            for (seq, number) in segments {
                let file = layout::incoming(to.dir(), &ledger, number);
                std::fs::copy(self.archive.segment_path(&ledger, number).unwrap(), &file).unwrap();
                to.submit(Change::Bytes { ledger: ledger.clone(), seq, file }).await.unwrap();
            }
            to.submit(Change::End { ledger }).await.unwrap();
        }
        origin
    }
}
