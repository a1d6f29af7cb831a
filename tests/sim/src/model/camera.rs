//! Cameras: what they film while they have power, and how many may watch.

use crate::time::Time;

/// One camera with one stream.
#[derive(Clone, Debug)]
pub struct Camera {
    /// Does it film and answer?
    pub up: bool,
    /// How often it went down: sessions of before are no more.
    pub falls: u32,
    /// How many sessions it grants at a time.
    pub sessions_max: u8,
    /// How many it has granted.
    pub sessions: u8,
    /// When it was up, closed intervals first, the open one last: what an oracle knows.
    pub filmed: Vec<(Time, Time)>,
}

impl Camera {
    /// One that films since the run began.
    pub fn new(sessions_max: u8) -> Self {
        Self { up: true, falls: 0, sessions_max, sessions: 0, filmed: vec![(Time::ZERO, Time::NEVER)] }
    }

    /// Power or cable goes.
    pub fn fall(&mut self, now: Time) {
        if std::mem::replace(&mut self.up, false) {
            self.falls += 1;
            self.sessions = 0;
            if let Some(last) = self.filmed.last_mut() {
                last.1 = now;
            }
        }
    }

    /// And comes back.
    pub fn rise(&mut self, now: Time) {
        if !std::mem::replace(&mut self.up, true) {
            self.filmed.push((now, Time::NEVER));
        }
    }

    /// Someone asks for its stream.
    pub fn open_session(&mut self) -> Result<(), Refusal> {
        if !self.up {
            return Err(Refusal::Down);
        }
        if self.sessions >= self.sessions_max {
            return Err(Refusal::TooManySessions);
        }
        self.sessions += 1;
        Ok(())
    }

    /// A session granted before fall number `falls` ends.
    pub fn close_session(&mut self, falls: u32) {
        if falls == self.falls {
            self.sessions = self.sessions.saturating_sub(1);
        }
    }
}

/// Why there is no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not answer.
    Down,
    /// It answers 453 or 503.
    TooManySessions,
}
