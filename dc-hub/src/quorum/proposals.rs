//! Proposals under way. None is waited for: the core wishes again for what does not show in the state.

use control_log::{ControlLog, ProposeError};
use decide::control::Command;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use std::sync::Arc;

/// Proposals of this node that are under way at once; more are dropped, and wished again.
const UNDER_WAY: usize = 256;

pub(super) struct Proposals {
    log: ControlLog,
    room: Arc<Semaphore>,
    main: Handle,
}

impl Proposals {
    /// Proposes to `log`, on the runtime of `main`: the disk's part of it is not for the quorum's thread.
    pub(super) fn new(log: ControlLog, main: Handle) -> Self {
        Self { log, room: Arc::new(Semaphore::new(UNDER_WAY)), main }
    }

    /// Proposes, if there is room.
    pub(super) fn put(&self, command: Command) {
        let Ok(turn) = self.room.clone().try_acquire_owned() else {
            tracing::warn!(?command, "{UNDER_WAY} proposals are under way already; this one waits");
            return;
        };
        let log = self.log.clone();
        self.main.spawn(async move {
            let _turn = turn;
            match log.propose(command.clone()).await {
                Ok(proposed) => {
                    if let Err(refusal) = proposed.outcome {
                        tracing::debug!(?command, %refusal, "refused");
                    }
                }
                Err(ProposeError::NoLeader) => {} // as long as nobody leads nothing can be decided
                Err(error) => tracing::debug!(?command, %error, "not proposed"),
            }
        });
    }
}
