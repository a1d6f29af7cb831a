//! The bytes of the protocol, kept in `docs/protocol-vectors.txt`.
//!
//! What is checked: the bytes in the file decode to the messages below, the messages encode to those bytes, and
//! the chain of the ledger in it has those heads. A change of the protocol that shows here breaks archives and
//! peers in the field. To write the file anew: `HOLDFAST_BLESS=1 cargo test --release -p holdfast-wire --test golden`.

#![allow(clippy::unwrap_used)] // a test's helpers panic like the test itself

mod messages;

use std::fmt::Write;
use std::path::PathBuf;

use bytes::Bytes;
use prost::Message;
use wire::chain::Head;
use wire::entry::Entry;
use wire::frame::{CONTROL_BYTES_MAX, Decoder, PART_BYTES_MAX, encode};
use wire::proto;

use messages::*;

const ABOUT: &str = "\
# The bytes of protocol 3, in hex: `name value`, one per line. `wire/tests/golden/messages.rs` has the messages in words.
#
# frame.site.*, frame.hub.*   a SiteMessage or HubMessage with its four bytes of length: on the control stream, or beats
# frame.part.*                a Part on a data stream, likewise
# frame.fetch.*               a Fetch, its answer and a Chunk on a stream for fetching, likewise
# frame.recall.*              a Fetch that asks what there is, and what else the site says on that stream, likewise
# frame.recalled.*            what the hub says there, likewise
# configuration.*             a Configuration, before it is sealed and without a frame
# entry.*                     an entry as first encoded, without a frame
# head.N                      the chain's head before entry N of the ledger in the other vectors
";

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol-vectors.txt")
}

fn vectors() -> Vec<(String, Vec<u8>)> {
    let site = site_messages().into_iter().map(|(name, kind)| {
        let frame = encode(&proto::SiteMessage { kind: Some(kind) }).unwrap();
        (format!("frame.site.{name}"), frame.to_vec())
    });
    let hub = hub_messages().into_iter().map(|(name, kind)| {
        let frame = encode(&proto::HubMessage { kind: Some(kind) }).unwrap();
        (format!("frame.hub.{name}"), frame.to_vec())
    });
    let part = ("frame.part.live".to_owned(), encode(&part()).unwrap().to_vec());
    let fetch = [
        ("request", encode(&fetch())),
        ("answer", encode(&fetched())),
        ("chunk", encode(&proto::Chunk { data: Bytes::from_static(b"of a file") })),
    ];
    let fetch = fetch.map(|(name, frame)| (format!("frame.fetch.{name}"), frame.unwrap().to_vec()));
    let request = proto::Fetch { recall: Some(recalls()[0].clone()), ..Default::default() };
    let recall = [
        ("request", encode(&request)),
        ("known", encode(&recalls()[1])),
        ("restoring", encode(&recalls()[2])),
    ];
    let recall = recall.map(|(name, frame)| (format!("frame.recall.{name}"), frame.unwrap().to_vec()));
    let names = ["differs", "ledger", "entries", "up_to_date"];
    let recalled = names
        .into_iter()
        .zip(recalled())
        .map(|(name, message)| (format!("frame.recalled.{name}"), encode(&message).unwrap().to_vec()));
    let configurations = configurations()
        .map(|(name, configuration)| (format!("configuration.{name}"), configuration.encode_to_vec()));
    let entries =
        entries().into_iter().map(|(name, entry)| (format!("entry.{name}"), entry.bytes().to_vec()));
    let heads = heads().into_iter().enumerate().map(|(n, head)| (format!("head.{n}"), head.0.to_vec()));
    site.chain(hub)
        .chain([part])
        .chain(fetch)
        .chain(recall)
        .chain(recalled)
        .chain(configurations)
        .chain(entries)
        .chain(heads)
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a string can't fail
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.bytes().map(|digit| (digit as char).to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Writes the file anew if that is asked for, before any test reads it.
fn bless() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        if std::env::var_os("HOLDFAST_BLESS").is_some() {
            let mut text = ABOUT.to_owned();
            for (name, bytes) in vectors() {
                let _ = writeln!(text, "{name} {}", hex(&bytes)); // writing to a string can't fail
            }
            std::fs::write(file(), text).unwrap();
        }
    });
}

/// The file's vectors.
fn kept() -> Vec<(String, Vec<u8>)> {
    bless();
    let text = std::fs::read_to_string(file()).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.split_once(' ').unwrap()).map(|(name, hex)| (name.to_owned(), unhex(hex))).collect()
}

fn kept_under(prefix: &str) -> Vec<Vec<u8>> {
    kept().into_iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, bytes)| bytes).collect()
}

/// Reads one whole frame.
fn read<M: Message + Default>(frame: &[u8], max: usize) -> M {
    let mut rest = frame;
    let message = Decoder::new(max).take(&mut rest).unwrap().unwrap();
    assert!(rest.is_empty(), "more than one frame");
    message
}

#[test]
fn messages_encode_to_the_bytes_in_the_file() {
    let (ours, kept) = (vectors(), kept());
    for ((name, bytes), (kept_name, kept_bytes)) in ours.iter().zip(&kept) {
        assert_eq!(name, kept_name);
        assert_eq!(hex(bytes), hex(kept_bytes), "{name}");
    }
    assert_eq!(ours.len(), kept.len());
}

#[test]
fn the_bytes_in_the_file_decode_to_the_messages() {
    let site = kept_under("frame.site.");
    let read_site =
        site.iter().map(|frame| read::<proto::SiteMessage>(frame, CONTROL_BYTES_MAX).kind.unwrap());
    assert!(read_site.eq(site_messages().into_iter().map(|(_, kind)| kind)));
    let hub = kept_under("frame.hub.");
    let read_hub = hub.iter().map(|frame| read::<proto::HubMessage>(frame, CONTROL_BYTES_MAX).kind.unwrap());
    assert!(read_hub.eq(hub_messages().into_iter().map(|(_, kind)| kind)));
    let parts = kept_under("frame.part.");
    let read_parts = parts.iter().map(|frame| read::<proto::Part>(frame, PART_BYTES_MAX));
    assert!(read_parts.eq([part()]));
    let fetches = kept_under("frame.fetch.");
    assert_eq!(read::<proto::Fetch>(&fetches[0], CONTROL_BYTES_MAX), fetch());
    assert_eq!(read::<proto::Fetched>(&fetches[1], CONTROL_BYTES_MAX), fetched());
    assert_eq!(&*read::<proto::Chunk>(&fetches[2], CONTROL_BYTES_MAX).data, b"of a file");
    let recall = kept_under("frame.recall.");
    let [first, rest @ ..] = recalls();
    assert_eq!(read::<proto::Fetch>(&recall[0], CONTROL_BYTES_MAX).recall, Some(first));
    assert!(recall[1..].iter().map(|frame| read::<proto::Recall>(frame, CONTROL_BYTES_MAX)).eq(rest));
    let told = kept_under("frame.recalled.");
    assert!(told.iter().map(|frame| read::<proto::Recalled>(frame, CONTROL_BYTES_MAX)).eq(recalled()));
    let entries_kept = kept_under("entry.");
    let read_entries = entries_kept.into_iter().map(|bytes| Entry::read(bytes.into()).unwrap());
    assert!(read_entries.eq(entries().into_iter().map(|(_, entry)| entry)));
}

#[test]
fn the_configuration_in_the_file_opens_with_its_nodes_key() {
    let site = wire::SiteId::new("harbour").unwrap();
    let opened = opening_key().open(&site, &sealed()).unwrap();
    assert_eq!(opened, kept_under("configuration.plain")[0]);
    let [(_, plain), ..] = configurations();
    assert_eq!(proto::Configuration::decode(opened.as_slice()).unwrap(), plain);
}

#[test]
fn the_entries_in_the_file_hash_to_the_heads_in_the_file() {
    let heads = kept_under("head.");
    let mut head = Head::genesis(&ledger());
    assert_eq!(head.0.as_slice(), heads[0]);
    for (entry, expected) in kept_under("entry.").iter().zip(&heads[1..]) {
        head = head.after(entry);
        assert_eq!(head.0.as_slice(), expected);
    }
    assert_eq!(heads.len(), kept_under("entry.").len() + 1);
}

#[test]
fn the_segment_in_the_file_adds_up() {
    let entry = Entry::read(kept_under("entry.segment").remove(0).into()).unwrap();
    let segment = entry.segment().unwrap();
    assert_eq!(wire::entry::part_lengths(segment).sum::<u64>(), segment.bytes);
    assert_eq!(wire::entry::part_span(segment, 2), Some((2200, 900)));
}
