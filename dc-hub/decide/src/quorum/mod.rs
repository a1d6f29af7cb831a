//! Who proposes what to the control log.
