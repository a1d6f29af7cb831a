//! What else than power cuts happens to an archive.

use rand::Rng;
use rand::rngs::SmallRng;

/// What happens in a run, and after it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Troubles {
    /// The disk has only so much room left: somewhere in what recordings, entries, and freeing leave to each other.
    pub(super) room: Option<u64>,
    /// One sync takes long.
    pub(super) stalls: bool,
    /// A bit of a segment rots once the run is over.
    pub(super) rots: bool,
    /// Then a person puts the disk back as it was before the run.
    pub(super) put_back: bool,
}

impl Troubles {
    pub(super) fn draw(chance: &mut SmallRng) -> Self {
        Self {
            room: chance.random_ratio(1, 6).then(|| chance.random_range(3 << 20..10 << 20)),
            stalls: chance.random_ratio(1, 6),
            rots: chance.random_ratio(1, 4),
            put_back: chance.random(),
        }
    }
}
