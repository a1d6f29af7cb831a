//! Turns what cameras answered into evidence: which answer, and for how long the path to them has held.
//!
//! The shell asks each camera every `every` (RTSP OPTIONS, no credentials), and calls in with every answer and
//! every deadline that passed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::evidence::{Answer, Answers};
use crate::ids::{CameraId, HostId, PathId, SiteId};
use crate::time::Boot;

/// The cameras of one site, as one host sees them.
#[derive(Clone, Debug)]
pub struct Prober {
    site: SiteId,
    host: HostId,
    path: PathId,
    /// So long without any answer breaks the path: an asking and its deadline.
    break_after: Duration,
    /// The path has held since, and the last answer came then.
    held: Option<(Boot, Boot)>,
    /// A drill: as if the path were cut.
    hidden: bool,
    // Shared with the reports, which rarely differ.
    cameras: Arc<BTreeMap<CameraId, Answer>>,
}

impl Prober {
    /// Begins with nothing seen. `break_after` is the time between two askings plus the deadline of one: a cut
    /// of at least that is never missed, and it must be at most half the short timer.
    pub fn new(site: SiteId, host: HostId, path: PathId, break_after: Duration) -> Self {
        Self { site, host, path, break_after, held: None, hidden: false, cameras: Arc::default() }
    }

    /// A camera answered, whatever it said, or its deadline passed.
    pub fn handle_answer(&mut self, now: Boot, camera: &CameraId, answer: Option<Answer>) {
        if self.hidden {
            return;
        }
        let Some(answer) = answer else {
            if self.cameras.contains_key(camera) {
                Arc::make_mut(&mut self.cameras).remove(camera);
            }
            return;
        };
        let since = match self.held {
            Some((since, last)) if now.since(last) <= self.break_after => since,
            _ => now,
        };
        self.held = Some((since, now));
        if self.cameras.get(camera) != Some(&answer) {
            Arc::make_mut(&mut self.cameras).insert(camera.clone(), answer);
        }
    }

    /// Makes as if the path were cut from now on, or no more: it then has opened anew.
    pub fn hide(&mut self, hidden: bool) {
        if self.hidden != hidden {
            (self.hidden, self.held, self.cameras) = (hidden, None, Arc::default());
        }
    }

    /// The report to send, after every asking: also when nothing answers.
    pub fn report(&self, now: Boot) -> Answers {
        let held = self.held.filter(|(_, last)| now.since(*last) <= self.break_after);
        Answers {
            site: self.site.clone(),
            host: self.host.clone(),
            path: self.path.clone(),
            unbroken: held.map(|(since, last)| last.since(since)),
            age: held.map_or(Duration::ZERO, |(_, last)| now.since(last)),
            cameras: if held.is_some() { self.cameras.clone() } else { Arc::default() },
        }
    }

    /// The cameras that answer.
    pub fn answering(&self) -> &BTreeMap<CameraId, Answer> {
        &self.cameras
    }
}
