//! Tells a site what is here of it that it may lack: ledgers that standbys wrote, what was salvaged, and, if it asks
//! for all, what its earlier runs wrote. What is told when decides [`Teller`]; this reads the archive.
//!
//! Bytes it fetches itself ([`super::fetch`]).

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use site_agent::archive::{Archive, Event, LedgerRecord};
use site_agent::uplink::batch::pack;
use tokio::sync::broadcast::error::RecvError;
use wire::proto::{Recall, RecallScope, Recalled, RecalledKind, RecalledLedger};
use wire::session::recall::{Step, Teller, digest};
use wire::session::settled::Digest;
use wire::{LedgerId, OriginId, SiteId, frame};

use super::fetch::Asked;
use super::peer::Peer;

/// The site tells what it knows by then, or is asked no more.
const LIST: Duration = Duration::from_secs(60);

/// Answers until the stream ends. What goes wrong concerns its stream only.
pub(super) async fn answer(peer: Arc<Peer>, asked: Asked) {
    if let Err(error) = try_answer(&peer, asked).await {
        tracing::debug!(site = %peer.site, error = format!("{error:#}"), "tell a site what is here");
    }
}

async fn try_answer(peer: &Peer, Asked { recall, mut send, mut reader }: Asked) -> anyhow::Result<()> {
    let scope = recall.scope();
    let view = View { archive: peer.downlink.vault.archive(), site: &peer.site, run: peer.origin, scope };
    // Followed before anything is told: what is added from here on is told by itself.
    let mut events = view.archive.events();
    let mut teller = Teller::default();
    let ledgers = view.ledgers();
    let ours = digest(ledgers.iter().map(|(ledger, record)| (ledger, record.head())));
    ledgers.into_iter().for_each(|(ledger, record)| teller.grown(ledger, record.next()));
    let differs = recall.digest.as_ref().and_then(Digest::from_proto) != Some(ours);
    frame::write(&mut send, &Recalled { differs, ..Default::default() }).await.context("answer")?;
    if differs {
        let listed = async {
            while let Some(recall) = reader.next::<Recall>().await.context("read what it knows")? {
                teller.knows(&recall).context("what it knows")?;
                if recall.last {
                    break;
                }
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(LIST, listed).await.context("it does not say what it knows")??;
    } else {
        teller.knows_all();
    }
    loop {
        while let Some(step) = teller.next_step() {
            tell(&view, &mut send, step).await?;
        }
        frame::write(&mut send, &Recalled { up_to_date: true, ..Default::default() })
            .await
            .context("answer")?;
        // Not a word for each event: most are of other sites.
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Ok(Event::Appended { ledger, .. } | Event::Taken(ledger)) => {
                        if let Some(record) = view.ledger(&ledger) {
                            teller.grown(ledger, record.next());
                            break;
                        }
                    }
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => {
                        let ledgers = view.ledgers();
                        ledgers.into_iter().for_each(|(ledger, record)| teller.grown(ledger, record.next()));
                        break;
                    }
                    Err(RecvError::Closed) => return Ok(()),
                },
                said = reader.next::<Recall>() => match said.context("read what it lacks")? {
                    Some(Recall { restoring: Some(restoring), .. }) => {
                        peer.downlink.sites.restoring(&peer.site, restoring.into());
                    }
                    Some(_) => {}
                    None => return Ok(()),
                },
            }
        }
    }
}

async fn tell(view: &View<'_>, send: &mut quinn::SendStream, step: Step) -> anyhow::Result<()> {
    let Some(record) = view.ledger(&step.ledger) else { return Ok(()) };
    if step.new {
        let ledgers = vec![RecalledLedger {
            ledger: Some(step.ledger.to_proto()),
            opened_us: record.opened_us,
            kind: kind(&record).into(),
            held: record.held().union(&record.gone()).to_proto(),
        }];
        frame::write(send, &Recalled { ledgers, ..Default::default() }).await.context("tell of a ledger")?;
    }
    let (archive, ledger) = (view.archive.clone(), step.ledger);
    let packed = tokio::task::spawn_blocking(move || pack(&archive, &ledger, step.seqs));
    for entries in packed.await.context("read entries")?? {
        let message = Recalled { entries: Some(entries), ..Default::default() };
        frame::write(send, &message).await.context("tell entries")?;
    }
    Ok(())
}

fn kind(record: &LedgerRecord) -> RecalledKind {
    match (record.salvage, record.standby) {
        (true, _) => RecalledKind::Salvage,
        (_, true) => RecalledKind::Standby,
        _ => RecalledKind::Unspecified,
    }
}

/// What a site may be told of.
struct View<'a> {
    archive: &'a Archive,
    site: &'a SiteId,
    /// The one that asks. All others of the site have ended, whatever was heard of them last.
    run: OriginId,
    scope: RecallScope,
}

impl View<'_> {
    fn ledgers(&self) -> Vec<(LedgerId, LedgerRecord)> {
        self.archive.ledgers().into_iter().filter(|(ledger, record)| self.shows(ledger, record)).collect()
    }

    fn ledger(&self, ledger: &LedgerId) -> Option<LedgerRecord> {
        self.archive.ledger(ledger).filter(|record| self.shows(ledger, record))
    }

    fn shows(&self, ledger: &LedgerId, record: &LedgerRecord) -> bool {
        record.site == self.site.as_str()
            && match self.scope {
                RecallScope::Unspecified => false,
                RecallScope::Standby => !record.is_by_site(),
                RecallScope::All => !record.is_by_site() || ledger.origin != self.run,
            }
    }
}
