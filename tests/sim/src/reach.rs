//! Rare states: a run over many seeds in which one of them was never reached has shown nothing about it.

use std::fmt;

macro_rules! states {
    ($($name:ident: $text:literal,)*) => {
        /// A state worth having been in.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum State { $(#[doc = $text] $name,)* }

        impl State {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }

        impl fmt::Display for State {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$name => $text,)* })
            }
        }
    };
}

states! {
    UnsyncedWriteLost: "a power cut took an unsynced write",
    TornWrite: "a power cut tore a write",
    NameLost: "a power cut undid a rename or a new name",
    TailRecovered: "a run recovered what an earlier one left open",
    FileWithoutEntry: "a run recovered a file that was renamed and had no entry",
    RecoveryInterrupted: "a run died before it had entered what it recovered",
    RestoredOnce: "a site came back from an older copy of its disk",
    RestoredTwice: "a site came back from an older copy of its disk a second time",
    HubKnowsMore: "a vault knew more of a ledger than its restored writer",
    Replaced: "a new connection replaced one the vault still believed in",
    OfferWaits: "an offer waited for what an earlier connection had brought",
    OneSided: "one end gave up a connection that the other still believed in",
    LiveGivenUp: "a live line fell too far behind and was left to the backlog",
    Resend: "a vault asked for a damaged segment again",
    EarlyPart: "a part came before its ledger was known",
    JournalLost: "a power cut took parts from a vault's journal",
    CameraRefused: "a camera refused a session",
    OutcomeUnknown: "a leader was lost with proposals under way",
    LeaderLostInRound: "a leader was lost in the middle of a round",
    LateFollower: "a node applied the log late",
    HeardAfterVerdict: "a beat was heard after the verdict",
    VerdictRefused: "a verdict came too late and was refused",
    JointDuringRound: "two sets of voters held during a round",
    StandbyActivated: "a standby took over",
    StandbyMoved: "a standby's host died and another took over",
    StandbyDeadInFailback: "a standby's host died during failback",
    Armed: "a standby was armed for a dark site",
    Failback: "a failback began",
    ManyDark: "many sites were dark at once and a person was called",
    Assisting: "a standby recorded beside a site that did not progress",
    Fenced: "an enforcer refused an effect of an old epoch",
    PausedWhileRecording: "a recorder was frozen in the middle of a segment",
}

/// Which states were reached, how often.
#[derive(Clone, Debug)]
pub struct Reach(Vec<u64>);

impl Default for Reach {
    fn default() -> Self {
        Self(vec![0; State::ALL.len()])
    }
}

impl Reach {
    /// A state was reached.
    pub fn note(&mut self, state: State) {
        self.0[state as usize] += 1;
    }

    /// If it was.
    pub fn note_if(&mut self, was: bool, state: State) {
        if was {
            self.note(state);
        }
    }

    /// How often.
    pub fn count(&self, state: State) -> u64 {
        self.0[state as usize]
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// Those that were never reached.
    pub fn missing(&self) -> impl Iterator<Item = State> + '_ {
        State::ALL.iter().copied().filter(|state| self.count(*state) == 0)
    }
}
