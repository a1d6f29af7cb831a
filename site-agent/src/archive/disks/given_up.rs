//! A disk that a person said does not come back.
//!
//! What it held stays wanted from the other side, and explained by the disk. But nobody waits for the disk any more: what
//! nobody else has is said to be gone, with that cause, by whoever gives up damaged segments; and should the disk turn up
//! after all, it is refused. To be told of a lost disk is the index's: who loses the index takes the disk again.

use std::sync::PoisonError;

use serde::Serialize;
use wire::proto::GapCause;
use wire::{LedgerId, RangeSet, SegmentNumber};

use super::{Disk, DiskNumber, Disks, FIRST};
use crate::archive::writer::Pass;
use crate::archive::{Archive, ArchiveError, Event, Placed, Result};

/// What is given up, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GivenUp {
    /// The folder where the disk was last.
    pub dir: String,
    /// Its number in the index.
    pub number: DiskNumber,
    /// Segments that were on it, and are nowhere here.
    pub segments: u64,
}

/// Why a disk is not given up.
#[derive(Debug, thiserror::Error)]
pub enum NotGivenUp {
    /// There is none.
    #[error("the archive has no disk `{0}`; it has: {1}")]
    Unknown(String, String),
    /// The one with the index.
    #[error("{0} is the archive's first disk, with the index: without it there is no archive")]
    First(String),
    /// It is there.
    #[error("the disk in {0} is in use: it is not lost")]
    InUse(String),
    /// That was said before.
    #[error("the disk in {0} was given up before")]
    Already(String),
    /// The archive could not.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

impl Disks {
    /// Did a person say that it does not come back?
    pub(crate) fn is_given_up(&self, number: DiskNumber) -> bool {
        self.registered().iter().any(|one| one.number == number && one.given_up)
    }

    /// Is there any such disk?
    fn any_given_up(&self) -> bool {
        self.registered().iter().any(|one| one.given_up)
    }

    /// The disk a person means: by its number, or by its folder, where that of one that is given up counts last.
    fn meant(&self, which: &str) -> Option<std::sync::Arc<Disk>> {
        let all = self.all();
        let number = which.parse().ok().and_then(|number: DiskNumber| self.get(number));
        let mut here: Vec<_> = all.into_iter().filter(|disk| disk.dir().as_os_str() == which).collect();
        here.sort_by_key(|disk| (self.is_given_up(disk.number()), disk.is_in_use()));
        number.or_else(|| here.into_iter().next())
    }
}

impl Archive {
    /// A person says that a disk, named by its folder or its number, does not come back.
    pub fn give_up_disk(&self, which: &str, dry_run: bool) -> Result<GivenUp, NotGivenUp> {
        let disks = self.disks();
        // Whoever takes back what a disk holds is not to be in the middle of it.
        let _turn = disks.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let disk = disks.meant(which).ok_or_else(|| {
            let all = disks.all();
            let all: Vec<_> = all.iter().map(|disk| disk.dir().display().to_string()).collect();
            NotGivenUp::Unknown(which.to_owned(), all.join(", "))
        })?;
        let (number, dir) = (disk.number(), disk.dir().display().to_string());
        if number == FIRST {
            return Err(NotGivenUp::First(dir));
        }
        if !disk.is_lost() {
            return Err(NotGivenUp::InUse(dir));
        }
        if disks.is_given_up(number) {
            return Err(NotGivenUp::Already(dir));
        }
        // It may have gone out a moment ago.
        self.send_away(&disk)?;
        let told = GivenUp { dir, number, segments: self.count_away(number)? };
        if !dry_run {
            disks.note_given_up(&self.inner.index, number)?;
            tracing::warn!(
                disk = told.dir,
                segments = told.segments,
                "a person gave a disk of the archive up"
            );
            let _ = self.inner.events.send(Event::Moved { back: false }); // nobody may be listening
        }
        Ok(told)
    }

    fn count_away(&self, disk: DiskNumber) -> Result<u64> {
        let mut count = 0;
        for (ledger, record) in self.ledgers() {
            let away = record.away();
            if !away.is_empty() {
                let on = |_, seq: wire::Seq| count += u64::from(away.contains(seq.0));
                self.inner.index.walk_disk(&ledger, disk, on)?;
            }
        }
        Ok(count)
    }

    /// Is the disk that it is on not there, and may come back?
    pub fn may_come_back(&self, placed: &Placed) -> bool {
        self.is_away(placed) && !self.is_on_given_up(placed)
    }

    /// Why it is gone, if nobody has it.
    pub fn cause_of_loss(&self, placed: &Placed) -> GapCause {
        let lost = self.is_away(placed) && self.is_on_given_up(placed);
        if lost { GapCause::DiskLost } else { GapCause::Corrupt }
    }

    fn is_on_given_up(&self, placed: &Placed) -> bool {
        let number = SegmentNumber(placed.segment.number);
        self.disks().any_given_up()
            && self.disk_number(&placed.ledger, number).is_ok_and(|disk| self.disks().is_given_up(disk))
    }
}

impl Pass<'_> {
    /// Of entries that are away, among some, those whose disk may come back.
    pub(in crate::archive) fn coming_back(
        &self,
        ledger: &LedgerId,
        away: RangeSet,
        among: &RangeSet,
    ) -> Result<RangeSet> {
        let disks = &self.inner.disks;
        if away.is_empty() || !disks.any_given_up() {
            return Ok(away);
        }
        let mut lost = RangeSet::new();
        for range in among.minus(&among.minus(&away)).iter() {
            self.inner.index.walk(ledger, range, |seq, _, entry| {
                if let Some(segment) = entry.segment() {
                    let disk = self.inner.index.disk_of(ledger, SegmentNumber(segment.number))?;
                    if disks.is_given_up(disk) {
                        lost.insert_one(seq.0);
                    }
                }
                Ok(())
            })?;
        }
        Ok(away.minus(&lost))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use wire::proto::entry::Kind;
    use wire::{Seq, UnixMicros};

    use super::super::tests::{OWN, Scene, looks, number_of, on_second, record, why};
    use super::*;
    use crate::archive::tests::{open_ledger, site};
    use crate::coverage::What;
    use crate::scrub::give_up;
    use crate::serve::{NoTails, Present, timeline};

    fn cause(archive: &Archive, ledger: &LedgerId) -> GapCause {
        let present = Present { now: UnixMicros(10_000_000_000), ..Present::default() };
        let range = (UnixMicros(1_000_000), UnixMicros(1_000_001));
        let shown = timeline(archive, &NoTails, (&site(), &ledger.stream), range, present).unwrap().spans;
        match shown.as_slice() {
            [span] => match span.what {
                What::Gap { cause, .. } => cause,
                _ => panic!("{span:?}"),
            },
            _ => panic!("{shown:?}"),
        }
    }

    /// An archive of two disks with one segment on the second, which is gone.
    fn without_second(scene: &Scene) -> (Archive, LedgerId, super::super::keeper::Looks) {
        let archive = scene.open_at(&["second"]);
        let ledger = on_second(scene, &archive);
        open_ledger(&archive, &ledger);
        record(&archive, &ledger, 0).unwrap();
        let mut looks = looks(&archive);
        looks.look().unwrap();
        scene.mv("second", "unplugged");
        looks.look().unwrap();
        (archive, ledger, looks)
    }

    #[test]
    fn what_was_on_a_disk_that_is_given_up_can_be_gone_and_the_disk_is_its_cause() {
        let scene = Scene::new();
        let (archive, ledger, _looks) = without_second(&scene);
        let second = scene.path("second").display().to_string();
        let placed = archive.damaged(None, 9).unwrap().pop().unwrap();
        let told = archive.give_up_disk(&second, true).unwrap();
        assert_eq!((told.segments, told.number), (1, number_of(&archive, &scene.path("second"))));
        assert!(archive.may_come_back(&placed), "that was no more than a question");
        give_up(&archive, OWN, &placed, GapCause::Corrupt).unwrap();
        assert_eq!(archive.damaged(None, 9).unwrap().len(), 1, "nobody says so while it may come back");

        assert_eq!(archive.give_up_disk(&second, false).unwrap(), told);
        assert!(!archive.may_come_back(&placed));
        assert_eq!(cause(&archive, &ledger), GapCause::DiskLost);
        give_up(&archive, OWN, &placed, archive.cause_of_loss(&placed)).unwrap();
        assert!(archive.damaged(None, 9).unwrap().is_empty());
        assert!(archive.ledger(&ledger).unwrap().gone().contains(0));
        assert_eq!(cause(&archive, &ledger), GapCause::DiskLost);
        let gone = archive
            .ledgers()
            .into_iter()
            .flat_map(|(id, record)| archive.entries(&id, 0..record.next).unwrap());
        let causes: Vec<_> = gone
            .filter_map(|entry| match entry.kind() {
                Some(Kind::Gone(gone)) => Some(gone.cause()),
                _ => None,
            })
            .collect();
        assert_eq!(causes, [GapCause::DiskLost]);
        assert_eq!(archive.delete_freed(9).unwrap(), 0, "there is no file to be deleted");
        let shown = archive.disks_shown();
        assert!(shown.iter().any(|disk| disk.given_up && disk.away == 0), "{shown:?}");
    }

    #[test]
    fn a_disk_that_was_given_up_is_refused_and_emptied_it_is_a_new_one() {
        let scene = Scene::new();
        let (archive, ledger, mut looks) = without_second(&scene);
        let second = scene.path("second");
        let before = archive.give_up_disk(&second.display().to_string(), false).unwrap().number;
        scene.mv("unplugged", "second");
        looks.trouble.clear();
        looks.look().unwrap();
        assert!(why(&archive, &second).contains("given up"), "{}", why(&archive, &second));
        assert!(!archive.holds(&ledger, Seq(0)));
        drop((looks, archive));
        let archive = scene.open_at(&["second"]);
        assert!(archive.disks().is_given_up(before), "a restart forgets nothing");
        let mut looks = super::super::tests::looks(&archive);
        looks.look().unwrap();
        assert!(archive.disks().in_use().len() == 1 && !archive.holds(&ledger, Seq(0)));

        fs::remove_dir_all(&second).unwrap();
        fs::create_dir(&second).unwrap();
        looks.trouble.clear();
        looks.look().unwrap();
        let new: Vec<_> = archive.disks().in_use().iter().map(|disk| disk.number()).collect();
        assert!(new.len() == 2 && !new.contains(&before), "{new:?}");
        let more = on_second(&scene, &archive);
        open_ledger(&archive, &more);
        record(&archive, &more, 7).unwrap();
        let on = archive.disk_number(&more, SegmentNumber(7)).unwrap();
        assert!(on != before && archive.open_file(&more, SegmentNumber(7)).is_ok());
    }

    #[test]
    fn only_a_further_disk_that_is_out_is_given_up_and_once() {
        let scene = Scene::new();
        let archive = scene.open_at(&["second"]);
        let say = |which: &str| archive.give_up_disk(which, false).unwrap_err();
        let path = |name: &str| scene.path(name).display().to_string();
        assert!(matches!(say("/nowhere"), NotGivenUp::Unknown(..)));
        assert!(matches!(say(&path("first")), NotGivenUp::First(_)));
        assert!(matches!(say(&path("second")), NotGivenUp::InUse(_)));
        scene.mv("second", "unplugged");
        archive.give_up_disk(&path("second"), false).unwrap();
        assert!(matches!(say(&path("second")), NotGivenUp::Already(_)));
    }
}
