//! The messages whose bytes are kept.

use bytes::Bytes;
use prost::Message;
use wire::chain::Head;
use wire::entry::Entry;
use wire::frame::PART_BYTES_MAX;
use wire::proto::entry::Kind;
use wire::proto::{self, hub_message, site_message};
use wire::seal::OpeningKey;
use wire::session::recall::{digest, known};
use wire::session::settled::{Bucket, Settled};
use wire::{LedgerId, OriginId, RangeSet, Seq, UnixMicros, holds};

use super::unhex;

/// See [`sealed`].
const SEALED: &str = "\
    0a205804dea1d05a3f22886014cf45bb77d34bf5d17613b0b44222f9b087e45d644c12208248a5e75cf8b4e44dd91323\
    226820d85543a08d26e7378d353397215d83ad671aba015ca6488d4e12550771ba1ab3a833a23aa4266dfb802d6d882d\
    b823032c6be9e45e285a4a8cac73c12ceec3dc86c1ff9df04015365cb5ebfc0b450311ee5b9e0993d3ba96672f1990ce\
    24d757b363cfab4ab84244b39c1185208030ded2f11240b4c02087717efa04b1875e26c4a8b8aa270df2cb45c6de3329\
    bfe41132d3a9bf6f88ac377e0b67f5a913083c47d38043a7394c98145b2770deb25358e07b36e5dbc4a13d9bdaaded7f\
    012c8f556f7cf3825a3037f362e34496fd";

pub(crate) fn ledger() -> LedgerId {
    LedgerId { origin: OriginId(std::array::from_fn(|i| i as u8)), stream: "till-1/main".parse().unwrap() }
}

pub(crate) fn segment() -> proto::Segment {
    let part = |size: usize, fill: u8| vec![fill; size];
    let parts = [part(700, 1), part(1500, 2), part(900, 3)];
    let hash = |bytes: &[u8]| Bytes::copy_from_slice(blake3::hash(bytes).as_bytes());
    let fragment = |index: usize| proto::Fragment {
        bytes: parts[index].len() as u32,
        key: index == 1,
        start_us: 1_750_000_000_000_000 + 1_000_000 * (index as i64 - 1),
        video_frames: 15,
        audio_frames: 0,
        frames_hash: hash(&parts[index][8..]),
        duration_90k: 90_000,
    };
    proto::Segment {
        number: 4,
        start_us: 1_750_000_000_000_000,
        end_us: 1_750_000_002_066_667,
        bytes: 3100,
        hash: hash(&parts.concat()),
        header_bytes: 700,
        header_hash: hash(&parts[0]),
        fragments: vec![fragment(1), fragment(2)],
        recovered_from: Some(proto::SegmentName {
            origin: Bytes::from_static(&[0xee; 16]),
            stream: "till-1/main".to_owned(),
            number: 77,
        }),
        codecs: "avc1.42c01f".to_owned(),
        decode_time_90k: 123_456_789,
        video_width: 1920,
        video_height: 1080,
        time_error_us: 100_000,
    }
}

/// Entries of the ledger, in order.
pub(crate) fn entries() -> Vec<(&'static str, Entry)> {
    let gap = proto::Gap {
        start_us: 1_749_999_990_000_000,
        end_us: 1_750_000_000_000_000,
        cause: proto::GapCause::CameraDown.into(),
        detail: "no answer".to_owned(),
    };
    let event = proto::Event {
        at_us: 1_750_000_000_500_000,
        kind: "camera.connected".to_owned(),
        content_type: "text/plain".to_owned(),
        body: Bytes::from_static(b"avc1.42c01f"),
    };
    let gone = proto::Gone {
        ledger: Some(ledger().to_proto()),
        seqs: vec![proto::Range { start: 1, end: 2 }],
        cause: proto::GapCause::Expired.into(),
        start_us: 1_750_000_000_000_000,
        end_us: 1_750_000_002_066_667,
    };
    let salvage = proto::Salvage { continues: segment().recovered_from, segment: Some(segment()) };
    let kinds = [
        ("gap", Kind::Gap(gap)),
        ("segment", Kind::Segment(segment())),
        ("event", Kind::Event(event)),
        ("gone", Kind::Gone(gone)),
        ("salvage", Kind::Salvage(salvage)),
    ];
    let at = |index: usize| UnixMicros(1_750_000_003_000_000 + index as i64);
    kinds.into_iter().enumerate().map(|(index, (name, kind))| (name, Entry::write(at(index), kind))).collect()
}

/// The heads before and after each entry.
pub(crate) fn heads() -> Vec<Head> {
    let mut heads = vec![Head::genesis(&ledger())];
    for (_, entry) in entries() {
        heads.push(heads[heads.len() - 1].after(entry.bytes()));
    }
    heads
}

pub(crate) fn epoch() -> proto::Epoch {
    proto::Epoch { generation: 1, salt: 0x0123_4567_89ab_cdef, n: 7 }
}

pub(crate) fn configuration() -> proto::Configuration {
    let stream = proto::StreamConfiguration {
        name: "main".to_owned(),
        url: "rtsp://10.0.0.5:554/stream1".to_owned(),
        rate_bps: 4_000_000,
        log_in: Some(proto::LogIn { username: "viewer".to_owned(), password: "secret".to_owned() }),
        connect_timeout_ms: 5_000,
        quirks: vec![proto::Setting { name: "transport".to_owned(), word: "tcp".to_owned() }],
        max_timestamp_jump_s: 10,
    };
    let camera = proto::CameraConfiguration {
        id: "till-1".to_owned(),
        name: "Till 1".to_owned(),
        audio: false,
        metadata: true,
        priority: 100,
        single_session: true,
        streams: vec![stream],
        onvif: "http://10.0.0.5/onvif/device_service".to_owned(),
    };
    proto::Configuration {
        revision: 1_750_000_000,
        tier: "warm".to_owned(),
        segment_ms: 10_000,
        fragment_ms: 1_000,
        cameras: vec![camera],
        log_ins_since: 1_740_000_000,
        hosts: Vec::new(),
        drills: String::new(),
    }
}

/// What sites say of themselves, as it is before it is sealed.
pub(crate) fn configurations() -> [(&'static str, proto::Configuration); 3] {
    [
        ("plain", configuration()),
        ("hosts", proto::Configuration { hosts: vec!["shop-2".to_owned()], ..configuration() }),
        ("drills", proto::Configuration { drills: "shadow".to_owned(), ..configuration() }),
    ]
}

/// Of the node that they are sealed to here.
pub(crate) fn opening_key() -> OpeningKey {
    OpeningKey::derive(&[0x0d; 32])
}

/// The plain one, as it was sealed once: it is another at each sealing.
pub(crate) fn sealed() -> proto::Sealed {
    proto::Sealed::decode(unhex(SEALED).as_slice()).unwrap()
}

/// A ledger with nothing left to exchange.
pub(crate) fn settled() -> LedgerId {
    LedgerId { origin: OriginId([0x5e; 16]), stream: "till-1/main".parse().unwrap() }
}

/// The bucket that it is in, of the 64.
pub(crate) fn bucket(others: &Settled) -> Bucket {
    Bucket::ALL.split().unwrap().find(|bucket| others.of(*bucket).count == 1).unwrap()
}

pub(crate) fn site_messages() -> Vec<(&'static str, site_message::Kind)> {
    let entries: Vec<_> = entries().iter().map(|(_, entry)| entry.bytes().clone()).collect();
    let state = proto::LedgerState {
        ledger: Some(ledger().to_proto()),
        floor: 0,
        next: 5,
        ended: true,
        gone: vec![proto::Range { start: 1, end: 2 }],
        opened_us: 1_749_999_990_000_000,
    };
    // Two ledgers of one run, and beside them one that is settled.
    let mut second = state.clone();
    second.ledger = Some(proto::Ledger { origin: Bytes::new(), stream: "till-2/main".to_owned() });
    let mut others = Settled::default();
    others.insert(&settled(), &Head::genesis(&settled()));
    let offer = proto::Offer {
        ledgers: vec![state.clone(), second],
        last: true,
        settled: Some(others.digest().to_proto()),
        split: Vec::new(),
    };
    let split = proto::Offer { last: true, split: vec![bucket(&others).to_proto()], ..Default::default() };
    let batch = proto::EntryBatch { entries: entries[..2].to_vec() }.encode_to_vec();
    let hello = proto::Hello {
        protocol_min: wire::PROTOCOL,
        protocol_max: wire::PROTOCOL,
        software: "holdfast site-agent 0.1.0".to_owned(),
        origin: Bytes::copy_from_slice(&ledger().origin.0),
        cameras: vec![proto::Camera {
            id: "till-1".to_owned(),
            name: "Till 1".to_owned(),
            streams: vec!["main".to_owned()],
        }],
        purpose: proto::Purpose::Session.into(),
        path: "wan".to_owned(),
        policies: Vec::new(),
        hosted: String::new(),
    };
    let of_host = proto::Hello {
        software: "holdfast dc-hub 0.1.0".to_owned(),
        cameras: Vec::new(),
        purpose: proto::Purpose::Host.into(),
        path: String::new(),
        hosted: "shop-1".to_owned(),
        ..hello.clone()
    };
    let stream_policy = |stream: &str, replicate: proto::Replicate, priority| proto::StreamPolicy {
        stream: stream.to_owned(),
        replicate: replicate.into(),
        priority,
    };
    let with_policies = proto::Hello {
        policies: vec![
            stream_policy("door-1/main", proto::Replicate::Scheduled, 100),
            stream_policy("safe-1/main", proto::Replicate::OnDemand, 200),
            stream_policy("till-1/main", proto::Replicate::Live, 255),
            stream_policy("yard-1/main", proto::Replicate::Never, 0),
        ],
        ..hello.clone()
    };
    let beat = proto::Beat {
        number: 9,
        sent_us: 1_750_000_004_000_000,
        streams: vec![proto::StreamBeat {
            state: proto::RecordingState::Recording.into(),
            last_durable_us: 1_750_000_003_900_000,
            detail: String::new(),
            segment: 4,
            fragment: 2,
            keyframes: 31,
        }],
        unacked_segments: 3,
        unacked_bytes: 0,
        live_lag_ms_p50: 640,
        live_lag_ms_p99: 1180,
        origin: Bytes::copy_from_slice(&ledger().origin.0),
        epoch: Some(epoch()),
        log: 0,
        drilled: false,
        holds: Bytes::new(),
        beside: Vec::new(),
    };
    let drilled = proto::Beat { drilled: true, ..beat.clone() };
    let asked = |id: &str, recorder, answer: proto::CameraAnswer| proto::BesideCamera {
        id: id.to_owned(),
        recorder,
        answer: answer.into(),
    };
    let beside = proto::Beside {
        site: "shop-2".to_owned(),
        cameras: vec![
            asked("till-1", beat.streams.first().cloned(), proto::CameraAnswer::Free),
            asked("door-1", None, proto::CameraAnswer::Busy),
        ],
        origin: Bytes::from_static(&[0x0b; 16]),
        epoch: Some(epoch()),
        log: 41,
        unbroken_ms: 61_500,
        age_ms: 120,
    };
    let hosting = proto::Beat { beside: vec![beside], ..beat.clone() };
    let holding = proto::Beat { holds: holds::Digest::of(&held()).to_bytes(), ..beat.clone() };
    vec![
        ("hello", site_message::Kind::Hello(hello)),
        ("hello_host", site_message::Kind::Hello(of_host)),
        ("hello_policies", site_message::Kind::Hello(with_policies)),
        ("offer", site_message::Kind::Offer(offer)),
        ("offer_split", site_message::Kind::Offer(split)),
        ("opened", site_message::Kind::Opened(proto::Opened { ledger: Some(state) })),
        ("configuration", site_message::Kind::Configuration(sealed())),
        (
            "entries",
            site_message::Kind::Entries(proto::Entries {
                ledger: Some(ledger().to_proto()),
                first_seq: 0,
                count: 2,
                encoding: proto::Encoding::Plain.into(),
                batch_bytes: batch.len() as u32,
                batch: batch.into(),
            }),
        ),
        ("beat", site_message::Kind::Beat(beat)),
        ("beat_drilled", site_message::Kind::Beat(drilled)),
        ("beat_holds", site_message::Kind::Beat(holding)),
        ("beat_beside", site_message::Kind::Beat(hosting)),
        ("scrubbed", site_message::Kind::Scrubbed(scrubbed())),
        (
            "bye",
            site_message::Kind::Bye(proto::Bye {
                reason: proto::ByeReason::Restart.into(),
                back_in_s: 20,
                number: 10,
            }),
        ),
    ]
}

pub(crate) fn hub_messages() -> Vec<(&'static str, hub_message::Kind)> {
    let vault = Bytes::from_static(&[0xab; 16]);
    let range = |start, end| vec![proto::Range { start, end }];
    let ledger = Some(ledger().to_proto());
    let standing = proto::Standing {
        revision: 42,
        voters: vec![proto::Voter {
            node: "hub-1".to_owned(),
            id: 1,
            addresses: vec!["hub-1.example.com:7443".to_owned()],
        }],
        owner: "hub-1".to_owned(),
        epoch: Some(epoch()),
        covered: false,
        away: true,
        recorded: vec!["till-1".to_owned()],
        drill: None,
        holds: None,
        revoked: vec!["hub-9".to_owned()],
        hosting: Vec::new(),
    };
    let beside =
        proto::Hosting { site: "shop-2".to_owned(), record: true, ask: true, epoch: Some(epoch()), log: 41 };
    let hosting = proto::Standing { hosting: vec![beside], ..standing.clone() };
    let holding = proto::Standing { holds: Some(held()), ..standing.clone() };
    let drill =
        proto::Drill { index: 41, kind: proto::DrillKind::Recorder.into(), shadow: true, length_ms: 30_000 };
    let drilled = proto::Standing { drill: Some(drill), ..standing.clone() };
    let welcome = proto::Welcome {
        protocol: wire::PROTOCOL,
        software: "holdfast dc-hub 0.1.0".to_owned(),
        vault: vault.clone(),
        generation: 1,
        part_bytes_max: PART_BYTES_MAX as u64,
        site: "harbour".to_owned(),
        standing: Some(standing.clone()),
        sealing_key: opening_key().sealing_key().to_bytes(),
    };
    let held = proto::LedgerHeld {
        ledger: ledger.clone(),
        next: 2,
        head: heads()[2].to_bytes(),
        held: range(0, 1),
        tails: vec![proto::Tail { segment: 4, parts: range(0, 2) }],
        gone: Vec::new(),
    };
    let mut others = Settled::default();
    others.insert(&settled(), &Head::genesis(&settled()).after(b"an entry"));
    let splits = vec![others.split(Bucket::ALL, false), others.split(bucket(&others), true)];
    let ack = proto::Ack {
        ledger: ledger.clone(),
        seqs: range(0, 2),
        vault,
        generation: 1,
        class: proto::Durability::Node.into(),
    };
    let acked = proto::TailAcked { ledger: ledger.clone(), segment: 4, parts: range(2, 3) };
    let refuse = proto::Refuse {
        code: proto::RefuseCode::Chain.into(),
        detail: "same seq, other bytes".to_owned(),
        ledger: ledger.clone(),
    };
    vec![
        ("welcome", hub_message::Kind::Welcome(welcome)),
        (
            "have",
            hub_message::Kind::Have(proto::Have { ledgers: vec![held], last: true, splits: Vec::new() }),
        ),
        ("have_split", hub_message::Kind::Have(proto::Have { splits, last: true, ..Default::default() })),
        ("tail_ack", hub_message::Kind::TailAck(proto::TailAck { acked: vec![acked] })),
        ("ack", hub_message::Kind::Ack(ack)),
        ("lost", hub_message::Kind::Lost(proto::Lost { ledger: ledger.clone(), seq: 1, segment: 4 })),
        ("want", hub_message::Kind::Want(proto::Want { ledger: ledger.clone(), seqs: range(1, 3) })),
        ("scrub", hub_message::Kind::Scrub(proto::ScrubWish { number: 3, begin: true })),
        ("resend", hub_message::Kind::Resend(proto::Resend { ledger, segment: 4 })),
        ("refuse", hub_message::Kind::Refuse(refuse)),
        ("beat_ack", hub_message::Kind::BeatAck(proto::BeatAck { number: 9 })),
        ("standing", hub_message::Kind::Standing(standing)),
        ("standing_drilled", hub_message::Kind::Standing(drilled)),
        ("standing_holds", hub_message::Kind::Standing(holding)),
        ("standing_hosting", hub_message::Kind::Standing(hosting)),
    ]
}

pub(crate) fn scrubbed() -> proto::Scrubbed {
    proto::Scrubbed {
        number: 3,
        read_segments: 1200,
        read_bytes: 6_000_000_000,
        bad: 2,
        missing: 1,
        failing: 0,
        repaired: 2,
        given_up: 0,
        wanted: 1,
        asked: true,
        pass_segments: 300,
        pass_bytes: 1_500_000_000,
    }
}

pub(crate) fn held() -> proto::Holds {
    let hold = proto::Hold {
        id: 40,
        cameras: vec!["till-1".to_owned()],
        from_us: 1_749_999_000_000_000,
        to_us: 1_750_000_000_000_000,
        until_us: 1_760_000_000_000_000,
        reason: "theft, case 4711".to_owned(),
    };
    proto::Holds { generation: 1, salt: 0x0123_4567_89ab_cdef, revision: 40, holds: vec![hold] }
}

pub(crate) fn part() -> proto::Part {
    proto::Part {
        ledger: Some(ledger().to_proto()),
        segment: 4,
        part: 1,
        running_hash: Bytes::copy_from_slice(blake3::hash(b"so far").as_bytes()),
        data: Bytes::from_static(b"fragment"),
        live: true,
    }
}

pub(crate) fn fetch() -> proto::Fetch {
    proto::Fetch { ledger: Some(ledger().to_proto()), seq: 1, recall: None }
}

/// What a site says on a stream on which it is told what there is; the first is a request.
pub(crate) fn recalls() -> [proto::Recall; 3] {
    let first = proto::Recall {
        scope: proto::RecallScope::Standby.into(),
        digest: Some(digest([(&ledger(), heads()[2])]).to_proto()),
        ..Default::default()
    };
    let restoring = proto::Restoring {
        segments: 3,
        bytes: 15_000_000,
        restored_segments: 1,
        restored_bytes: 5_000_000,
        waits_for: "room on the disk".to_owned(),
    };
    let then = proto::Recall { restoring: Some(restoring), ..Default::default() };
    [first, known(&[(ledger(), Seq(2))]).remove(0), then]
}

/// What a hub says there.
pub(crate) fn recalled() -> [proto::Recalled; 4] {
    let about = proto::RecalledLedger {
        ledger: Some(ledger().to_proto()),
        opened_us: 1_750_000_000_000_000,
        kind: proto::RecalledKind::Standby.into(),
        held: RangeSet::from(0..1).to_proto(),
    };
    let first = entries()[0].1.bytes().clone();
    let batch = proto::EntryBatch { entries: vec![first] }.encode_to_vec();
    let entries = proto::Entries {
        ledger: Some(ledger().to_proto()),
        first_seq: 0,
        count: 1,
        encoding: proto::Encoding::Plain.into(),
        batch_bytes: batch.len() as u32,
        batch: batch.into(),
    };
    [
        proto::Recalled { differs: true, ..Default::default() },
        proto::Recalled { ledgers: vec![about], ..Default::default() },
        proto::Recalled { entries: Some(entries), ..Default::default() },
        proto::Recalled { up_to_date: true, ..Default::default() },
    ]
}

pub(crate) fn fetched() -> proto::Fetched {
    proto::Fetched { code: proto::FetchedCode::Held.into(), bytes: 3100, detail: String::new() }
}
