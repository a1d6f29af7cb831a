//! How far site and standby have recorded the same, camera by camera, since a failback began.

use std::collections::{BTreeMap, BTreeSet};

use wire::OriginId;

use crate::control::{CameraSpec, OVERLAP_KEYFRAMES};
use crate::detector::Detector;
use crate::ids::CameraId;

/// The overlap of one site with its standby.
#[derive(Clone, Debug, Default)]
pub(super) struct Overlap {
    /// The runs it is counted between; another run of either begins anew.
    runs: Option<(OriginId, OriginId)>,
    /// What the standby records; nothing is counted of what the site doesn't.
    cameras: BTreeMap<CameraId, Option<Counts>>,
}

#[derive(Clone, Copy, Debug)]
struct Counts {
    /// Keyframes when counting began: the site's and the standby's.
    from: (u64, u64),
    /// Keyframes now.
    now: (u64, u64),
}

impl Counts {
    fn both(self) -> u64 {
        (self.now.0.saturating_sub(self.from.0)).min(self.now.1.saturating_sub(self.from.1))
    }
}

impl Overlap {
    /// Takes in what both said last.
    pub(super) fn update(&mut self, home: &Detector, away: &Detector) {
        let runs = home.origin().zip(away.origin());
        if self.runs != runs {
            (self.runs, self.cameras) = (runs, BTreeMap::new());
        }
        let at_home: BTreeMap<&CameraId, u64> = home.recording().collect();
        let away: BTreeMap<&CameraId, u64> = away.recording().collect();
        self.cameras.retain(|camera, _| away.contains_key(camera));
        for (camera, there) in away {
            let counts = self.cameras.entry(camera.clone()).or_default();
            *counts = at_home.get(camera).map(|here| {
                let now = (*here, there);
                Counts { from: counts.map_or(now, |counts| counts.from), now }
            });
        }
    }

    /// Has every camera that the standby records now been recorded by both for long enough?
    pub(super) fn is_enough(&self, specs: &BTreeMap<CameraId, CameraSpec>) -> bool {
        let exempt = |camera| specs.get(camera).is_some_and(|spec: &CameraSpec| spec.single_session);
        self.keyframes().iter().all(|(camera, keyframes)| *keyframes >= OVERLAP_KEYFRAMES || exempt(camera))
    }

    /// What the standby records now.
    pub(super) fn recorded(&self) -> BTreeSet<CameraId> {
        self.cameras.keys().cloned().collect()
    }

    /// The overlap of each, in keyframes.
    pub(super) fn keyframes(&self) -> BTreeMap<CameraId, u64> {
        let keyframes = |counts: &Option<Counts>| counts.map_or(0, Counts::both);
        self.cameras.iter().map(|(camera, counts)| (camera.clone(), keyframes(counts))).collect()
    }
}
