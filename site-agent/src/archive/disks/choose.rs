//! Which of several disks some segments go to. Pure.
//!
//! Weighted rendezvous: each disk draws a number from the key, and the one with the highest wins; one with twice the room
//! wins twice as often. Nothing is remembered, the same key goes to the same disk as long as room changes little, and what
//! a disk that is out would have got is spread over the others.

use super::DiskNumber;

/// The disk for this key, of those with so much room each.
pub(super) fn choose(key: &[u8], rooms: &[(DiskNumber, u64)]) -> Option<DiskNumber> {
    let drawn = rooms.iter().map(|(number, room)| (draw(key, *number, *room), *number));
    drawn.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, number)| number)
}

/// Between minus infinity and 0: the more room, the closer to 0 it tends to be.
fn draw(key: &[u8], number: DiskNumber, room: u64) -> f64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&number.to_be_bytes()).update(key);
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    // Of 53 bits, which a float has, and never 0.
    let part = ((u64::from_be_bytes(bytes) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    part.ln() / room.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(rooms: &[(DiskNumber, u64)]) -> Vec<usize> {
        let chosen = |disk| (0..3000u32).filter(move |n| choose(&n.to_be_bytes(), rooms) == Some(disk));
        rooms.iter().map(|(disk, _)| chosen(*disk).count()).collect()
    }

    #[test]
    fn who_has_more_room_gets_more_and_who_is_out_leaves_its_own_to_the_others() {
        let shares_of = shares(&[(0, 1 << 30), (1, 2 << 30)]);
        assert!((900..1100).contains(&shares_of[0]) && shares_of[0] + shares_of[1] == 3000, "{shares_of:?}");
        let three = [(0, 1 << 30), (1, 1 << 30), (2, 1 << 30)];
        let moved = |n: &u32| {
            let before = choose(&n.to_be_bytes(), &three);
            before != Some(2) && choose(&n.to_be_bytes(), &three[..2]) != before
        };
        assert_eq!((0..3000).filter(moved).count(), 0, "only what was the third's moves");
        assert_eq!(choose(b"", &[]), None);
    }
}
