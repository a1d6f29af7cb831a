//! Whether results are what was promised. Pure.

use super::case::{Case, Contender};
use super::record::Record;

/// Peers that use less of the link than this are to be beaten; others to be equalled.
const GOOD_PEER: f64 = 0.85;
/// What counts as equal.
const EQUAL: f64 = 0.02;
const QUEUE_MS_MAX: f64 = 25.0;
const LAG_ADDED_MS_MAX: u64 = 200;

/// What is to be said of a case.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    /// What does not hold.
    pub(crate) problems: Vec<String>,
    /// Who is missing, or void.
    pub(crate) missing: Vec<Contender>,
}

impl Verdict {
    /// Does everything hold that could be looked at?
    pub(crate) fn holds(&self) -> bool {
        self.problems.is_empty()
    }
}

/// The newest result of each contender on this line that counts, in the order of [`Contender::ALL`].
pub(crate) fn newest<'a>(case: &Case, records: &'a [Record]) -> Vec<&'a Record> {
    let of = |contender| {
        let mut own = records.iter().rev().filter(move |record| record.contender == contender);
        own.find(|record| record.case == *case && record.void.is_none())
    };
    Contender::ALL.into_iter().filter_map(of).collect()
}

/// Judges a case.
pub(crate) fn judge(case: &Case, records: &[Record]) -> Verdict {
    let newest = newest(case, records);
    let there = |contender: &Contender| newest.iter().any(|record| record.contender == *contender);
    let mut verdict = Verdict {
        missing: Contender::ALL.into_iter().filter(|contender| !there(contender)).collect(),
        ..Verdict::default()
    };
    let Some(ours) = newest.iter().find(|record| record.contender == Contender::Ours) else { return verdict };
    let peers = newest.iter().filter(|record| record.contender != Contender::Ours);
    let mut problem = |text: String| verdict.problems.push(text);
    if ours.share < case.floor() {
        problem(format!("{:.1} % of the link, below {:.0} %", 100.0 * ours.share, 100.0 * case.floor()));
    }
    if let Some(best) = peers.max_by(|a, b| a.share.total_cmp(&b.share)) {
        let needed = if best.share < GOOD_PEER { best.share } else { best.share - EQUAL };
        if ours.share < needed {
            let (ours, theirs) = (100.0 * ours.share, 100.0 * best.share);
            problem(format!("{} has {theirs:.1} %, ours {ours:.1} %", best.contender.name()));
        }
    }
    if ours.queue_ms.mean >= QUEUE_MS_MAX {
        problem(format!("a queue of {:.1} ms", ours.queue_ms.mean));
    }
    match ours.live_lag_added_ms_p99() {
        Some(added) if added >= LAG_ADDED_MS_MAX => problem(format!("live lag grew by {added} ms")),
        Some(_) => {}
        None => problem("live lag was not measured".to_owned()),
    }
    verdict
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wan_bench::ours::Lag;

    pub(crate) const CASE: Case = Case { rtt_ms: 100, loss_percent: 1.0, mbit: 100 };

    pub(crate) fn record(contender: Contender, share: f64) -> Record {
        let figures = serde_json::json!({
            "rtt_ms": 100, "loss_percent": 1.0, "mbit": 100, "contender": contender, "congestion": "x", "at": "now",
            "machine": crate::results::Machine::default(), "queue_limit_ms": 100, "steady_s": 10.0, "share": share,
            "cold_share": share, "cold_s": 14.0, "sent_share": 1.0, "cpu": {}, "machine_busy": 0.5, "cpu_bound": false,
            "queue_ms": {"mean": 10.0, "p50": 9.0, "p95": 20.0, "max": 30.0}, "void": null, "agent": null,
            "uplink": crate::wan_bench::record::Uplink::default(),
            "live_lag_idle_ms": Lag { p99: 1100, ..Lag::default() }, "live_lag_ms": Lag { p99: 1200, ..Lag::default() },
        });
        serde_json::from_value(figures).unwrap()
    }

    fn problems(records: &[Record]) -> Vec<String> {
        judge(&CASE, records).problems
    }

    #[test]
    fn what_was_promised_holds() {
        let peers = [Contender::RsyncBbr, Contender::RcloneBbr].map(|peer| record(peer, 0.92));
        let verdict = judge(&CASE, &[vec![record(Contender::Ours, 0.91)], peers.into()].concat());
        assert!(verdict.holds(), "{verdict:?}");
        assert_eq!(verdict.missing, [Contender::RsyncCubic, Contender::RcloneCubic]);
    }

    #[test]
    fn each_promise_can_be_broken() {
        let ours = |change: fn(&mut Record)| {
            let mut ours = record(Contender::Ours, 0.91);
            change(&mut ours);
            problems(&[ours])
        };
        assert!(ours(|_| {}).is_empty());
        assert_eq!(ours(|ours| ours.share = 0.89), ["89.0 % of the link, below 90 %"]);
        assert_eq!(ours(|ours| ours.queue_ms.mean = 26.0), ["a queue of 26.0 ms"]);
        let slower = |ours: &mut Record| ours.live_lag_ms = Some(Lag { p99: 1300, ..Lag::default() });
        assert_eq!(ours(slower), ["live lag grew by 200 ms"]);
        assert_eq!(ours(|ours| ours.live_lag_ms = None), ["live lag was not measured"]);
    }

    #[test]
    fn a_good_peer_is_equalled_and_a_bad_one_beaten() {
        let beside =
            |ours, peer| problems(&[record(Contender::Ours, ours), record(Contender::RsyncBbr, peer)]).len();
        assert_eq!([beside(0.93, 0.949), beside(0.93, 0.951)], [0, 1]);
        let case = Case { loss_percent: 5.0, ..CASE };
        let on_five = |ours, peer| {
            let records = [record(Contender::Ours, ours), record(Contender::RsyncBbr, peer)];
            judge(&case, &records.map(|record| Record { case, ..record })).problems.len()
        };
        assert_eq!([on_five(0.80, 0.79), on_five(0.80, 0.81)], [0, 1]);
    }

    #[test]
    fn the_newest_that_counts() {
        let void = Record { void: Some("late".into()), ..record(Contender::Ours, 0.1) };
        let other = Record { case: Case { mbit: 5, ..CASE }, ..record(Contender::Ours, 0.2) };
        let records = [record(Contender::Ours, 0.5), record(Contender::Ours, 0.95), void, other];
        assert_eq!(newest(&CASE, &records).iter().map(|record| record.share).collect::<Vec<_>>(), [0.95]);
    }
}
