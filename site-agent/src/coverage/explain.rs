//! Explains instants that no entry speaks of, by what is known of the runs.
//!
//! In this order: what has not happened; what the live recorder says of right now; what a live run may
//! still write down or send; a hole inside a run (nothing explains it); the time after a run has ended;
//! the time before the first.

use wire::UnixMicros;

use super::{GapCause, Known, Run, SETTLES_AFTER, Viewpoint, What};

pub(super) struct Explainer<'a> {
    known: &'a Known,
    /// Up to where anything is recorded: `Known::current` is about the time after it.
    recorded_until: UnixMicros,
}

impl<'a> Explainer<'a> {
    pub(super) fn new(known: &'a Known) -> Self {
        let recordings = known.recordings.iter().map(|recording| recording.end);
        let tails = known.tails.iter().map(|tail| tail.end);
        let recorded_until = recordings.chain(tails).max().unwrap_or(UnixMicros::MIN);
        Self { known, recorded_until }
    }

    /// What to show at `at`, where there is no entry and no tail.
    pub(super) fn explain(&self, at: UnixMicros) -> What {
        if at >= self.known.now {
            return What::Future;
        }
        if self.live_runs(at).next().is_some() {
            return self.after_live_run(at);
        }
        let inside = |run: &&Run| run.opened <= at && at < run.last;
        if self.known.runs.iter().any(|run| inside(&run)) {
            return unexplained("the recorder ran, and wrote nothing down");
        }
        let before = self.known.runs.iter().filter(|run| run.last <= at).max_by_key(|run| run.last);
        match before {
            Some(run) if run.stopped_cleanly => gap(GapCause::Stopped, "the recorder was stopped"),
            Some(_) => gap(GapCause::HostDown, "the recorder was not running"),
            None => gap(GapCause::NotScheduled, "before the first recording"),
        }
    }

    /// Runs that may still speak of `at`.
    fn live_runs(&self, at: UnixMicros) -> impl Iterator<Item = &Run> {
        self.known.runs.iter().filter(move |run| !run.ended && run.last <= at && run.opened <= at)
    }

    fn after_live_run(&self, at: UnixMicros) -> What {
        match (&self.known.current, &self.known.viewpoint) {
            // What it said last is old.
            (_, Viewpoint::Vault { late: Some(late) }) => What::Pending { detail: late.clone() },
            (Some((cause, detail)), _) if at >= self.recorded_until => gap(*cause, detail),
            (_, Viewpoint::Vault { late: None }) => What::Pending { detail: "not here yet".to_owned() },
            (_, Viewpoint::Recorder) if at >= self.known.now - SETTLES_AFTER => {
                What::Pending { detail: "not yet recorded".to_owned() }
            }
            (_, Viewpoint::Recorder) => unexplained("the recorder runs, and wrote nothing down"),
        }
    }
}

fn gap(cause: GapCause, detail: &str) -> What {
    What::Gap { cause, detail: detail.to_owned() }
}

fn unexplained(detail: &str) -> What {
    gap(GapCause::Unspecified, detail)
}
