use super::*;

fn part(segment: u64, part: u32, data: &'static [u8]) -> TailPart {
    TailPart {
        site: SiteId::new("shop-1").unwrap(),
        ledger: LedgerId { origin: wire::OriginId([1; 16]), stream: "till-1/main".parse().unwrap() },
        segment: SegmentNumber(segment),
        part,
        start: UnixMicros(10),
        end: UnixMicros(20),
        key: true,
        data: Bytes::from_static(data),
    }
}

fn open(dir: &Path) -> Journal {
    Journal::open(dir, 1 << 20, |_, _| false).unwrap()
}

#[tokio::test]
async fn what_was_appended_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = part(0, 0, b"").ledger;
    let journal = open(dir.path());
    for n in [0, 1, 3] {
        journal.append(part(7, n, b"bytes")).await.unwrap();
    }
    drop(journal);
    let journal = open(dir.path());
    let parts = journal.parts(&ledger, SegmentNumber(7));
    assert_eq!(parts.values().collect::<Vec<_>>(), [0, 1, 3]);
    assert_eq!(journal.read(&ledger, SegmentNumber(7), 3).unwrap().unwrap(), "bytes");
    assert_eq!(journal.read(&ledger, SegmentNumber(7), 2).unwrap(), None);
}

#[tokio::test]
async fn a_torn_record_ends_its_file_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    journal.append(part(1, 0, b"first")).await.unwrap();
    journal.append(part(1, 1, b"second")).await.unwrap();
    drop(journal);
    let (_, path) = file::list(dir.path()).unwrap().pop().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for cut in 0..bytes.len() {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let mut seen = 0;
        file::replay(&path, |_, _, _| seen += 1).unwrap();
        assert!(seen <= 1, "a torn record was read at {cut}");
        assert_eq!(seen == 1, cut >= bytes.len() / 2 - 1 && cut >= file::encode(&part(1, 0, b"first")).len());
    }
}

#[tokio::test]
async fn a_flipped_bit_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    journal.append(part(1, 0, b"evidence")).await.unwrap();
    let (_, path) = file::list(dir.path()).unwrap().pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let ledger = part(1, 0, b"").ledger;
    assert!(matches!(journal.read(&ledger, SegmentNumber(1), 0), Err(JournalError::Damaged { .. })));
}

#[tokio::test]
async fn files_go_when_nothing_in_them_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), 1, |_, _| false).unwrap(); // a file per group
    let ledger = part(0, 0, b"").ledger;
    for segment in 0..4 {
        journal.append(part(segment, 0, b"x")).await.unwrap();
    }
    let count = || file::list(dir.path()).unwrap().len();
    assert_eq!(count(), 5, "four full ones and the one being written");
    for segment in 0..4 {
        journal.forget(&ledger, SegmentNumber(segment));
    }
    assert_eq!(count(), 1);
    assert_eq!(journal.site_bytes(&part(0, 0, b"").site), 0);
}

#[tokio::test]
async fn segments_that_are_held_are_not_taken_back_in() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    journal.append(part(1, 0, b"x")).await.unwrap();
    drop(journal);
    let journal = Journal::open(dir.path(), 1 << 20, |_, _| true).unwrap();
    assert!(journal.all().is_empty());
    assert_eq!(file::list(dir.path()).unwrap().len(), 1, "the old file is deleted");
}
