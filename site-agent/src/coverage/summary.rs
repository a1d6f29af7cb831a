//! The timeline in fewer words, for people and for totals.

use std::time::Duration;

use wire::{Replicate, UnixMicros};

use super::{GapCause, Place, Span, What};

/// What a span amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Recorded, with its entry, here.
    Recorded,
    /// Recorded, here as a tail.
    Tail,
    /// Recorded, on its way here.
    Arriving,
    /// Recorded, on its way back from the hub.
    Restoring,
    /// Recorded, and kept at its site.
    AtSite,
    /// Not recorded, or not any more.
    Gap,
    /// Too early to tell.
    Pending,
    /// Not happened yet.
    Future,
}

impl State {
    /// As the API writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Tail => "tail",
            Self::Arriving => "arriving",
            Self::Restoring => "restoring",
            Self::AtSite => "at_site",
            Self::Gap => "gap",
            Self::Pending => "pending",
            Self::Future => "future",
        }
    }
}

impl What {
    /// What it amounts to.
    pub fn state(&self) -> State {
        match self {
            Self::Recorded { place: Place::Held, .. } => State::Recorded,
            Self::Recorded { place: Place::Tail, .. } => State::Tail,
            Self::Elsewhere { restoring: false, .. } => State::Arriving,
            Self::Elsewhere { restoring: true, .. } => State::Restoring,
            Self::AtSite { .. } => State::AtSite,
            Self::Gap { .. } => State::Gap,
            Self::Pending { .. } => State::Pending,
            Self::Future => State::Future,
        }
    }

    /// Why it is not recorded, and what there is to say.
    pub fn reason(&self) -> (Option<GapCause>, &str) {
        match self {
            Self::Gap { cause, detail } => (Some(*cause), detail),
            Self::Pending { detail } => (None, detail),
            Self::AtSite { replicate: Replicate::Never, .. } => (None, "at the site, not replicated: never"),
            Self::AtSite { .. } => (None, "at the site, not replicated: on_demand"),
            Self::Recorded { .. } | Self::Elsewhere { .. } | Self::Future => (None, ""),
        }
    }
}

impl Span {
    /// How long it is.
    pub fn duration(&self) -> Duration {
        self.end.since(self.start)
    }
}

/// Neighbouring spans of one state and, where they are gaps, one cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Its first instant.
    pub start: UnixMicros,
    /// The first instant after it.
    pub end: UnixMicros,
    /// What it amounts to.
    pub state: State,
    /// Why nothing is recorded.
    pub cause: Option<GapCause>,
    /// What its first span says.
    pub detail: String,
    /// How many spans it is made of.
    pub spans: usize,
}

/// How much there is of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Recorded and here, tails included.
    pub recorded: Duration,
    /// Recorded and on its way.
    pub arriving: Duration,
    /// Recorded, and kept at its site.
    pub at_site: Duration,
    /// Not recorded, the unexplained included.
    pub gaps: Duration,
    /// Of the gaps, what nothing explains.
    pub unexplained: Duration,
    /// Too early to tell.
    pub pending: Duration,
}

/// Merges neighbours that say the same.
pub fn summary(spans: &[Span]) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for span in spans {
        let state = span.what.state();
        let (cause, detail) = span.what.reason();
        match stretches.last_mut() {
            Some(last) if last.state == state && last.cause == cause => {
                last.end = span.end;
                last.spans += 1;
            }
            _ => stretches.push(Stretch {
                start: span.start,
                end: span.end,
                state,
                cause,
                detail: detail.to_owned(),
                spans: 1,
            }),
        }
    }
    stretches
}

/// Adds up.
pub fn totals(spans: &[Span]) -> Totals {
    let mut totals = Totals::default();
    for span in spans {
        let duration = span.duration();
        match &span.what {
            What::Recorded { .. } => totals.recorded += duration,
            What::Elsewhere { .. } => totals.arriving += duration,
            What::AtSite { .. } => totals.at_site += duration,
            What::Gap { cause, .. } => {
                totals.gaps += duration;
                if *cause == GapCause::Unspecified {
                    totals.unexplained += duration;
                }
            }
            What::Pending { .. } => totals.pending += duration,
            What::Future => {}
        }
    }
    totals
}
