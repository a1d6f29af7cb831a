use bytes::Bytes;
use media::{Arrival, Output, Segmenter, SegmenterConfig, VideoCodec, VideoFrame, VideoTrack};
use site_agent::archive::verify::verify;
use std::time::Duration;
use wire::{SiteId, UnixMicros};

use super::*;
use crate::journal::TailPart;

const OLD: OriginId = OriginId([1; 16]);
const NEW: OriginId = OriginId([2; 16]);

fn site() -> SiteId {
    SiteId::new("shop-1").unwrap()
}

fn agent() -> Sender {
    Sender::agent(&site())
}

fn ledger(origin: OriginId) -> LedgerId {
    LedgerId { origin, stream: "till-1/main".parse().unwrap() }
}

/// Parts of a real segment; what is inside the frames does not matter here.
fn parts(ledger: &LedgerId) -> Vec<TailPart> {
    let second = Duration::from_secs(1);
    let config = SegmenterConfig { segment: 10 * second, fragment: second, first_segment: 10 * second };
    let mut segmenter = Segmenter::new(ledger.clone(), config, 0);
    let sample_entry = Bytes::from_static(b"\0\0\0\x08avc1");
    let track =
        VideoTrack { codec: VideoCodec::H264, sample_entry, rfc6381: "avc1".into(), width: 16, height: 16 };
    let mut outputs = segmenter.connected(track, None);
    for n in 0..5i64 {
        let arrival = Arrival { wall: UnixMicros(n * 1_000_000), boot_us: n.unsigned_abs() * 1_000_000 };
        outputs.extend(segmenter.video(VideoFrame {
            pts_90k: n * 90_000,
            rtp: 0,
            key: true,
            data: Bytes::from_static(b"\0\0\0\x02\x65\x88"),
            arrival,
            sender_report: None,
        }));
    }
    let part = |output| match output {
        Output::Part(part) => Some(TailPart {
            site: site(),
            ledger: ledger.clone(),
            segment: part.segment,
            part: part.part,
            start: part.first_arrival.wall,
            end: part.last_arrival.wall,
            key: part.key,
            data: part.data,
        }),
        Output::Closed(_) => None,
    };
    outputs.into_iter().filter_map(part).collect()
}

#[tokio::test]
async fn a_tail_of_a_lost_run_becomes_an_entry_of_the_vault() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path(), 1 << 20).unwrap();
    for part in parts(&ledger(OLD)) {
        vault.take_part(&part).await.unwrap();
    }
    assert_eq!(
        salvage(&vault, &agent(), OLD).await.unwrap(),
        0,
        "the current run's tail is its own to close"
    );
    assert_eq!(salvage(&vault, &agent(), NEW).await.unwrap(), 1);
    assert!(vault.journal().all().is_empty(), "the journal is free of it");
    let found = vault.archive().query(&site(), &ledger(OLD).stream, UnixMicros(0), UnixMicros::MAX).unwrap();
    assert_eq!(found.len(), 1);
    assert!(found[0].held);
    let Some(Kind::Salvage(entry)) = found[0].entry.kind() else { panic!("{:?}", found[0].entry) };
    assert_eq!(entry.continues.as_ref().unwrap().origin, OLD.0.as_slice());
    drop(vault);
    let report = verify(dir.path(), |_| {}).unwrap();
    assert_eq!((report.segments, report.bad.len(), report.orphans), (1, 0, 0));
}

#[tokio::test]
async fn a_tail_is_salvaged_once_however_often_the_hub_restarts() {
    let dir = tempfile::tempdir().unwrap();
    for salvaged in [1, 0, 0] {
        let vault = Vault::open(dir.path(), 1 << 20).unwrap();
        if salvaged > 0 {
            for part in parts(&ledger(OLD)) {
                vault.take_part(&part).await.unwrap();
            }
        }
        assert_eq!(salvage(&vault, &agent(), NEW).await.unwrap(), salvaged);
    }
}

#[tokio::test]
async fn a_tail_that_a_later_run_recovered_is_left_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path(), 1 << 20).unwrap();
    let parts = parts(&ledger(OLD));
    let bytes: Vec<u8> = parts.iter().flat_map(|part| part.data.to_vec()).collect();
    for part in parts {
        vault.take_part(&part).await.unwrap();
    }
    let mut segment = rebuild(SegmentNumber(0), &bytes).unwrap().segment;
    segment.recovered_from = Some(proto::SegmentName {
        origin: Bytes::copy_from_slice(&OLD.0),
        stream: ledger(OLD).stream.into(),
        number: 0,
    });
    let state = proto::LedgerState::default();
    vault.claim(&agent(), &ledger(NEW), &state).await.unwrap();
    let entry = wire::entry::Entry::write(UnixMicros(9), Kind::Segment(segment));
    vault.take_entries(&site(), &ledger(NEW), wire::Seq(0), vec![entry]).await.unwrap();
    assert_eq!(salvage(&vault, &agent(), NEW).await.unwrap(), 0);
    assert_eq!(vault.journal().all().len(), 1);
}

#[tokio::test]
async fn a_tail_whose_segment_the_site_had_to_free_is_salvaged() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path(), 1 << 20).unwrap();
    let parts = parts(&ledger(NEW));
    let bytes: Vec<u8> = parts.iter().flat_map(|part| part.data.to_vec()).collect();
    let last = parts.len() - 1;
    for part in parts.into_iter().take(last) {
        vault.take_part(&part).await.unwrap();
    }
    let segment = rebuild(SegmentNumber(0), &bytes).unwrap().segment;
    let (start_us, end_us) = (segment.start_us, segment.end_us);
    vault.claim(&agent(), &ledger(NEW), &proto::LedgerState::default()).await.unwrap();
    let (site_id, new) = (site(), ledger(NEW));
    let write = |kind| wire::entry::Entry::write(UnixMicros(9), kind);
    let take = |seq, entry| vault.take_entries(&site_id, &new, wire::Seq(seq), vec![entry]);
    take(0, write(Kind::Segment(segment))).await.unwrap();
    assert_eq!(salvage(&vault, &agent(), NEW).await.unwrap(), 0, "the rest may come");
    let gone = proto::Gone {
        ledger: Some(ledger(NEW).to_proto()),
        seqs: vec![proto::Range { start: 0, end: 1 }],
        cause: proto::GapCause::LostBeforeReplication.into(),
        start_us,
        end_us,
    };
    take(1, write(Kind::Gone(gone))).await.unwrap();
    assert_eq!(salvage(&vault, &agent(), NEW).await.unwrap(), 1);
    let found = vault.archive().query(&site(), &ledger(NEW).stream, UnixMicros(0), UnixMicros::MAX).unwrap();
    let held: Vec<_> = found.iter().filter(|one| one.held && one.entry.segment().is_some()).collect();
    assert_eq!(held.len(), 1, "all that came of it");
    assert!(held[0].end < UnixMicros(end_us) + Duration::from_micros(1));
    // The site is told that it is wanted no more.
    let view = wire::session::hub::VaultView::gone(&vault, &ledger(NEW));
    assert_eq!(view, wire::RangeSet::from(0..1));
}

#[tokio::test]
async fn a_tail_that_a_host_is_recording_is_its_own_to_close_whatever_the_site_says() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path(), 1 << 20).unwrap();
    let host = Sender { site: site(), host: Some("hub-2".to_owned()) };
    vault.claim(&host, &ledger(OLD), &proto::LedgerState::default()).await.unwrap();
    for part in parts(&ledger(OLD)) {
        vault.take_part(&part).await.unwrap();
    }
    // The site comes back under another run, while the standby goes on.
    assert_eq!(salvage(&vault, &agent(), NEW).await.unwrap(), 0);
    assert!(vault.unfinished(&agent()).is_empty(), "the site is not told of parts that are not its own");
    vault.end_others(&agent(), NEW, &Default::default()).await.unwrap();
    assert!(!vault.archive().ledger(&ledger(OLD)).unwrap().ended, "nor does it end the run");
    assert_eq!(salvage(&vault, &host, NEW).await.unwrap(), 0, "it goes on");
    assert_eq!(vault.unfinished(&host).len(), 1);
    // The ledger has one writer: neither the site nor another host continues it.
    let other = Sender { host: Some("hub-3".to_owned()), ..host.clone() };
    for by in [&agent(), &other] {
        let refused = vault.claim(by, &ledger(OLD), &proto::LedgerState::default()).await;
        assert!(matches!(refused, Err(VaultError::Archive(ArchiveError::NotTheirs(_)))), "{refused:?}");
    }
    // The host comes back with an empty disk, and offers nothing.
    vault.end_others(&host, NEW, &Default::default()).await.unwrap();
    assert_eq!(salvage(&vault, &host, NEW).await.unwrap(), 1);
    assert!(vault.journal().all().is_empty());
}

#[tokio::test]
async fn what_its_host_lost_before_it_came_is_gone_with_a_cause() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path(), 1 << 20).unwrap();
    let host = Sender { site: site(), host: Some("hub-2".to_owned()) };
    let ended = proto::LedgerState { ended: true, ..Default::default() };
    vault.claim(&host, &ledger(OLD), &ended).await.unwrap();
    let bytes: Vec<u8> = parts(&ledger(OLD)).iter().flat_map(|part| part.data.to_vec()).collect();
    let segment = rebuild(SegmentNumber(0), &bytes).unwrap().segment;
    let entry = wire::entry::Entry::write(UnixMicros(9), Kind::Segment(segment));
    vault.take_entries(&site(), &ledger(OLD), wire::Seq(0), vec![entry]).await.unwrap();
    let only = std::collections::BTreeSet::new();
    assert_eq!(vault.archive().settled_digest(&host, &only).count, 0, "its bytes are wanted");
    assert_eq!(vault.archive().settled_digest(&agent(), &only).count, 0);
    vault.give_up(vec![(ledger(OLD), wire::RangeSet::from(0..5))]).await.unwrap();
    assert_eq!(vault.archive().settled_digest(&host, &only).count, 1);
    assert_eq!(
        vault.archive().settled_digest(&agent(), &only).count,
        0,
        "what a host brings is not the site's"
    );
    let found = vault.archive().query(&site(), &ledger(OLD).stream, UnixMicros(0), UnixMicros::MAX).unwrap();
    let cause = found.iter().find_map(|one| match one.entry.kind() {
        Some(Kind::Gone(gone)) => Some(gone.cause()),
        _ => None,
    });
    assert_eq!(cause, Some(proto::GapCause::LostBeforeReplication));
}

#[tokio::test]
async fn what_the_vault_freed_itself_does_not_come_back_from_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path(), 1 << 20).unwrap();
    let (of, parts) = (ledger(NEW), parts(&ledger(NEW)));
    let bytes: Vec<u8> = parts.iter().flat_map(|part| part.data.to_vec()).collect();
    for part in parts {
        vault.take_part(&part).await.unwrap();
    }
    let segment = rebuild(SegmentNumber(0), &bytes).unwrap().segment;
    vault.claim(&agent(), &of, &proto::LedgerState::default()).await.unwrap();
    let entry = wire::entry::Entry::write(UnixMicros(9), Kind::Segment(segment));
    vault.take_entries(&site(), &of, wire::Seq(0), vec![entry]).await.unwrap();
    let completed = vault.complete(&of, SegmentNumber(0), wire::Seq(0)).await;
    assert_eq!(completed, wire::session::hub::Completion::Held);
    let own = LedgerId { origin: vault.origin(), stream: of.stream.clone() };
    let (archive, at) = (vault.archive().clone(), UnixMicros(9));
    let open = Change::OpenSalvage { ledger: own.clone(), site: site(), opened: at };
    archive.submit(open).await.unwrap();
    let (seqs, cause) = (wire::RangeSet::from(0..1), proto::GapCause::Expired);
    archive.submit(Change::Free { ledger: own, at, of, seqs, cause }).await.unwrap();
    let deleted = tokio::task::spawn_blocking(move || archive.delete_freed(9).unwrap()).await.unwrap();
    assert_eq!(deleted, 1);
    drop(vault);
    let vault = Vault::open(dir.path(), 1 << 20).unwrap();
    assert!(vault.journal().all().is_empty(), "{:?}", vault.journal().all().len());
    assert_eq!(salvage(&vault, &agent(), NEW).await.unwrap(), 0);
}

/// What a standby here recorded and committed: one segment.
async fn recorded_by_a_standby(vault: &Vault, site: &SiteId, ledger: &LedgerId) {
    let opened = UnixMicros(0);
    let open = Change::OpenStandby { ledger: ledger.clone(), site: site.clone(), opened };
    vault.archive().submit(open).await.unwrap();
    let bytes: Vec<u8> = parts(ledger).iter().flat_map(|part| part.data.to_vec()).collect();
    let segment = rebuild(SegmentNumber(0), &bytes).unwrap().segment;
    let file = vault.archive().incoming(ledger, SegmentNumber(0), bytes.len() as u64).unwrap();
    std::fs::write(&file, &bytes).unwrap();
    let (ledger, kind) = (ledger.clone(), Kind::Segment(segment));
    let change = Change::Append { ledger, at: UnixMicros(9), kind, file: Some(file) };
    vault.archive().submit(change).await.unwrap();
}

#[tokio::test]
async fn what_standbys_recorded_is_entered_again_after_the_index_was_lost() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path(), 1 << 20).unwrap();
    let other = SiteId::new("shop-2").unwrap();
    recorded_by_a_standby(&vault, &site(), &ledger(OLD)).await;
    recorded_by_a_standby(&vault, &other, &ledger(NEW)).await;
    assert_eq!(vault.take_unknown(&site()).await.unwrap(), 0, "nothing is lost");
    drop(vault);
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();

    let vault = Vault::open(dir.path(), 1 << 20).unwrap();
    assert!(vault.archive().is_index_lost() && vault.archive().ledgers().is_empty());
    // A ledger that goes on is left to whoever writes it: its entry may be on its way.
    let running = LedgerId { origin: OriginId([7; 16]), ..ledger(OLD) };
    recorded_by_a_standby(&vault, &site(), &running).await;
    assert_eq!(vault.take_unknown(&site()).await.unwrap(), 1);
    assert!(vault.archive().is_index_lost(), "the other site has not been heard");
    let (entered, record) =
        vault.archive().ledgers().into_iter().find(|(id, _)| *id != running).expect("a ledger for it");
    assert!(record.is_standby_here() && record.ended && record.site == "shop-1");
    let entry = vault.archive().entry(&entered, wire::Seq(0)).unwrap().unwrap();
    let name = entry.segment().and_then(recovered_from).expect("it names what it was");
    assert_eq!(name, (ledger(OLD), SegmentNumber(0)));
    assert_eq!(vault.take_unknown(&site()).await.unwrap(), 0, "once is enough");
    assert_eq!(vault.take_unknown(&other).await.unwrap(), 1);
    assert!(!vault.archive().is_index_lost());
    drop(vault);
    let report = verify(dir.path(), |_| {}).unwrap();
    assert!(report.ok && report.orphans == 0, "{report:?}");
    assert_eq!(report.segments, 3);
}
