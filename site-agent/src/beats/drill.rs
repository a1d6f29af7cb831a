//! A drill as this site takes part in it: what it makes as if it had lost, and for how long. Pure.
//!
//! Guarantees: all is given back once the drill's time has passed by this machine's own clock since boot, whatever the
//! hub says or does not say; no drill lasts longer than [`LENGTH_MAX`]; and what the site's operator has not allowed is
//! left alone, whatever a hub asks for.

use std::time::Duration;

use wire::proto::{self, DrillKind};

use crate::config::Drills;

/// No drill lasts longer, whatever is asked for.
pub const LENGTH_MAX: Duration = Duration::from_secs(15 * 60);

/// What is made as if it were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Beats: whoever decides is to hear none.
    pub beats: bool,
    /// Every connection to the hub.
    pub link: bool,
    /// Recording.
    pub recording: bool,
}

/// The drill that was told of last.
#[derive(Clone, Debug, Default)]
pub(super) struct Drilling {
    allowed: Drills,
    last: Option<Known>,
    /// Was it told of just now, too?
    told: bool,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    index: u64,
    lost: Lost,
    until_us: u64,
}

impl Drilling {
    /// At a site that allows this.
    pub(super) fn allowing(allowed: Drills) -> Self {
        Self { allowed, ..Self::default() }
    }

    /// Takes in what the hub says, at `boot_us`. A drill begins when it is first told of, and is told of again without
    /// beginning anew. One that the hub says nothing of any more is over.
    pub(super) fn told(&mut self, drill: Option<&proto::Drill>, boot_us: u64) {
        let drill = drill.filter(|drill| self.allowed.allow(drill.shadow));
        self.told = drill.is_some();
        let Some(drill) = drill else { return };
        if self.last.is_none_or(|known| known.index != drill.index) {
            let length = Duration::from_millis(drill.length_ms.into()).min(LENGTH_MAX);
            let until_us = boot_us.saturating_add(u64::try_from(length.as_micros()).unwrap_or(0));
            self.last = Some(Known { index: drill.index, lost: lost(drill), until_us });
        }
    }

    /// What is lost at `boot_us`.
    pub(super) fn lost(&self, boot_us: u64) -> Lost {
        self.running(boot_us).map(|known| known.lost).unwrap_or_default()
    }

    /// How long that stays so, if nothing is heard.
    pub(super) fn left(&self, boot_us: u64) -> Option<Duration> {
        self.running(boot_us).map(|known| Duration::from_micros(known.until_us - boot_us))
    }

    fn running(&self, boot_us: u64) -> Option<Known> {
        self.last.filter(|known| self.told && boot_us < known.until_us)
    }
}

fn lost(drill: &proto::Drill) -> Lost {
    let real = !drill.shadow;
    match drill.kind() {
        DrillKind::Unspecified => Lost::default(),
        DrillKind::Recorder => Lost { beats: true, link: false, recording: real },
        DrillKind::Wan => Lost { beats: true, link: real, recording: false },
        DrillKind::Site => Lost { beats: true, link: real, recording: real },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drill(index: u64, kind: DrillKind, shadow: bool) -> proto::Drill {
        proto::Drill { index, kind: kind.into(), shadow, length_ms: 30_000 }
    }

    #[test]
    fn a_drill_ends_by_itself_and_does_not_begin_again() {
        let mut drilling = Drilling::default();
        let told = drill(7, DrillKind::Recorder, false);
        drilling.told(Some(&told), 1_000_000);
        let lost = Lost { beats: true, link: false, recording: true };
        assert_eq!(drilling.lost(30_999_999), lost);
        assert_eq!(drilling.left(1_000_000), Some(Duration::from_secs(30)));
        assert_eq!(drilling.lost(31_000_000), Lost::default());
        drilling.told(Some(&told), 40_000_000);
        assert_eq!(drilling.lost(40_000_000), Lost::default(), "it is told again by a node that lags behind");
        drilling.told(Some(&drill(8, DrillKind::Wan, false)), 41_000_000);
        assert!(drilling.lost(41_000_000).link, "another drill is another");
    }

    #[test]
    fn the_hub_ends_it_early_and_a_moment_of_doubt_does_not_lengthen_it() {
        let mut drilling = Drilling::default();
        let told = drill(7, DrillKind::Recorder, true);
        drilling.told(Some(&told), 0);
        drilling.told(None, 5_000_000);
        assert_eq!((drilling.lost(5_000_000), drilling.left(5_000_000)), (Lost::default(), None));
        drilling.told(Some(&told), 6_000_000);
        assert_eq!(drilling.left(6_000_000), Some(Duration::from_secs(24)));
    }

    #[test]
    fn a_shadow_touches_neither_link_nor_recording() {
        for kind in [DrillKind::Recorder, DrillKind::Wan, DrillKind::Site] {
            assert_eq!(lost(&drill(1, kind, true)), Lost { beats: true, ..Lost::default() });
        }
        assert_eq!(lost(&drill(1, DrillKind::Unspecified, false)), Lost::default());
        let site = Lost { beats: true, link: true, recording: true };
        assert_eq!(lost(&drill(1, DrillKind::Site, false)), site);
    }

    #[test]
    fn what_is_not_allowed_is_left_alone_whoever_asks() {
        for (allowed, real, shadow) in
            [(Drills::All, true, true), (Drills::Shadow, false, true), (Drills::None, false, false)]
        {
            for (over_shadow, takes_part) in [(false, real), (true, shadow)] {
                let mut drilling = Drilling::allowing(allowed);
                drilling.told(Some(&drill(1, DrillKind::Recorder, over_shadow)), 0);
                assert_eq!(drilling.lost(0) != Lost::default(), takes_part, "{allowed:?} {over_shadow}");
            }
        }
    }

    #[test]
    fn nobody_can_ask_for_a_drill_without_end() {
        let mut drilling = Drilling::default();
        let long = proto::Drill { length_ms: u32::MAX, ..drill(1, DrillKind::Site, false) };
        drilling.told(Some(&long), 0);
        assert_eq!(drilling.left(0), Some(LENGTH_MAX));
    }
}
