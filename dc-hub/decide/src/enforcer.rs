//! The gate in front of an effect that must happen under one authority only.
//!
//! It never accepts epoch e after it accepted e' > e, nor one epoch from two hosts. Keep it durably where the
//! effect is durable.

use serde::{Deserialize, Serialize};

use crate::epoch::Epoch;
use crate::ids::HostId;
use crate::mutant::{Mutant, Rules};

/// A gate for one virtual server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    highest: Option<(Epoch, HostId)>,
    #[serde(skip)]
    rules: Rules,
}

/// Why an effect was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fenced {
    /// Authority has moved.
    #[error("epoch {shown} is over: {highest} was accepted already")]
    Old {
        /// What was shown.
        shown: Epoch,
        /// What was accepted.
        highest: Epoch,
    },
    /// Two hosts show one epoch. This can't be: somebody has to look.
    #[error("{shown} shows epoch {epoch}, which was given to {given}")]
    TwoAuthorities {
        /// The epoch.
        epoch: Epoch,
        /// Who showed it before.
        given: HostId,
        /// Who shows it now.
        shown: HostId,
    },
}

impl Gate {
    /// A gate with a rule switched off, for the simulator.
    pub fn with_rules(rules: Rules) -> Self {
        Self { highest: None, rules }
    }

    /// Lets an effect through, or not.
    pub fn accept(&mut self, epoch: Epoch, host: &HostId) -> Result<(), Fenced> {
        if self.rules.enabled(Mutant::EpochCheck) {
            return Ok(());
        }
        match &self.highest {
            Some((highest, _)) if epoch < *highest => {
                return Err(Fenced::Old { shown: epoch, highest: *highest });
            }
            Some((highest, given)) if epoch == *highest && given != host => {
                return Err(Fenced::TwoAuthorities { epoch, given: given.clone(), shown: host.clone() });
            }
            _ => self.highest = Some((epoch, host.clone())),
        }
        Ok(())
    }

    /// The highest epoch that was let through.
    pub fn highest(&self) -> Option<Epoch> {
        self.highest.as_ref().map(|(epoch, _)| *epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_and_revived_standby_changes_nothing() {
        let (old, new) = (HostId::new("hub-1").unwrap(), HostId::new("hub-2").unwrap());
        let first = Epoch::default().next();
        let mut gate = Gate::default();
        assert_eq!(gate.accept(first, &old), Ok(()));
        assert_eq!(gate.accept(first.next(), &new), Ok(()));
        assert_eq!(gate.accept(first, &old), Err(Fenced::Old { shown: first, highest: first.next() }));
        assert!(matches!(gate.accept(first.next(), &old), Err(Fenced::TwoAuthorities { .. })));
        assert_eq!(gate.highest(), Some(first.next()));
    }
}
