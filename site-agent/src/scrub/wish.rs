//! A wish that came by way of the hub, and what it is answered with.

use wire::proto::{ScrubWish, Scrubbed};

use super::Status;

impl Status {
    /// Does as the hub's people wish, and tells how re-reading is.
    pub(crate) fn answer(&self, wish: &ScrubWish) -> Scrubbed {
        if wish.begin {
            tracing::info!("somebody at the hub asked for everything to be re-read now");
            self.ask();
        }
        let shown = self.snapshot();
        Scrubbed {
            number: wish.number,
            read_segments: shown.totals.read_segments,
            read_bytes: shown.totals.read_bytes,
            bad: shown.totals.bad,
            missing: shown.totals.missing,
            failing: shown.totals.failing,
            repaired: shown.totals.repaired,
            given_up: shown.totals.given_up,
            wanted: shown.wanted,
            asked: shown.asked,
            pass_segments: shown.pass_segments,
            pass_bytes: shown.pass_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_begins_a_pass_only_if_it_says_so_and_is_answered_by_its_number() {
        let status = Status::default();
        let told = status.answer(&ScrubWish { number: 7, begin: false });
        assert!(told.number == 7 && !told.asked && !status.take_wish());
        let told = status.answer(&ScrubWish { number: 8, begin: true });
        assert!(told.number == 8 && told.asked && status.take_wish());
    }
}
