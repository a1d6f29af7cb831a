//! Charts and tables of `holdfast-bench wan`.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::chart::{Chart, Kind, Panel};
use super::page::Table;
use crate::wan_bench::case::{Case, Contender};
use crate::wan_bench::record::Record;
use crate::wan_bench::verdict::{judge, newest};

/// In the order of [`Contender::ALL`].
const KINDS: [Kind; 5] = [
    kind(Contender::Ours, "ours", "#0969da", "#58a6ff", true, false),
    kind(Contender::RsyncCubic, "rsync-cubic", "#bc4c00", "#f0883e", false, false),
    kind(Contender::RsyncBbr, "rsync-bbr", "#bc4c00", "#f0883e", false, true),
    kind(Contender::RcloneCubic, "rclone-cubic", "#1a7f37", "#3fb950", false, false),
    kind(Contender::RcloneBbr, "rclone-bbr", "#1a7f37", "#3fb950", false, true),
];

const fn kind(
    of: Contender,
    class: &'static str,
    light: &'static str,
    dark: &'static str,
    bold: bool,
    dashed: bool,
) -> Kind {
    Kind { class, name: of.name(), light, dark, bold, dashed }
}

/// The lines there are results of.
pub(crate) fn cases(records: &[Record]) -> Vec<Case> {
    all_cases(records.iter().filter(|record| record.void.is_none()))
}

fn all_cases<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for record in records {
        if !cases.contains(&record.case) {
            cases.push(record.case);
        }
    }
    cases.sort_by(|a, b| {
        (a.mbit, a.rtt_ms).cmp(&(b.mbit, b.rtt_ms)).then(a.loss_percent.total_cmp(&b.loss_percent))
    });
    cases
}

/// Rates there are results of.
pub(crate) fn rates(cases: &[Case]) -> BTreeSet<u32> {
    cases.iter().map(|case| case.mbit).collect()
}

/// How much of the link each contender used.
pub(crate) fn share_chart(mbit: u32, records: &[Record]) -> String {
    let value = |record: &Record| 100.0 * record.share;
    chart(mbit, records, "share of the link arrived, %", "share of the link that arrived", 100.0, &value)
}

/// How long the queue was that each contender kept.
pub(crate) fn queue_chart(mbit: u32, records: &[Record]) -> String {
    let limit = records.iter().map(|record| record.queue_limit_ms).max().unwrap_or(100);
    let value = |record: &Record| record.queue_ms.mean;
    chart(mbit, records, "mean queue in the uplink, ms", "mean queue", limit as f64, &value)
}

fn chart(
    mbit: u32,
    records: &[Record],
    unit: &str,
    what: &str,
    top: f64,
    value: &dyn Fn(&Record) -> f64,
) -> String {
    let cases: Vec<Case> = cases(records).into_iter().filter(|case| case.mbit == mbit).collect();
    let mut losses: Vec<f64> = cases.iter().map(|case| case.loss_percent).collect();
    losses.sort_by(f64::total_cmp);
    losses.dedup();
    let round_trips: BTreeSet<u32> = cases.iter().map(|case| case.rtt_ms).collect();
    let at = |rtt_ms, loss_percent, contender| {
        let newest = newest(&Case { rtt_ms, loss_percent, mbit }, records);
        newest.into_iter().find(|record| record.contender == contender).map(value)
    };
    let panel = |rtt_ms: u32| Panel {
        title: format!("{rtt_ms} ms round trip"),
        lines: Contender::ALL
            .map(|contender| losses.iter().map(|loss| at(rtt_ms, *loss, contender)).collect())
            .into(),
    };
    Chart {
        title: format!("{mbit} Mbit/s: {what}"),
        kinds: &KINDS,
        places: losses.iter().map(|loss| format!("{loss} %")).collect(),
        places_are: "packets lost",
        unit,
        top,
        panels: round_trips.into_iter().map(panel).collect(),
    }
    .draw()
}

/// Shares of all contenders, and what else was promised.
pub(crate) fn table(mbit: u32, records: &[Record]) -> String {
    let mut head = vec!["RTT, loss".to_owned()];
    head.extend(Contender::ALL.map(|contender| contender.name().to_owned()));
    head.extend(["from cold", "queue, ms", "live lag", "promised"].map(String::from));
    let mut table = Table::new(head);
    for case in cases(records).into_iter().filter(|case| case.mbit == mbit) {
        let newest = newest(&case, records);
        let of = |contender| newest.iter().find(|record| record.contender == contender);
        let mut row = vec![format!("{} ms, {} %", case.rtt_ms, case.loss_percent)];
        row.extend(Contender::ALL.map(|contender| of(contender).map_or("–".into(), |record| share(record))));
        let ours = of(Contender::Ours);
        row.push(ours.map_or("–".into(), |ours| format!("{:.1}", 100.0 * ours.cold_share)));
        row.push(ours.map_or("–".into(), |ours| format!("{:.0}", ours.queue_ms.mean)));
        let added = ours.and_then(|ours| ours.live_lag_added_ms_p99());
        row.push(added.map_or("–".into(), |added| format!("+{added}")));
        row.push(ours.map_or("–".into(), |_| verdict(&case, records)));
        table.row(row);
    }
    table.finish()
}

fn share(record: &Record) -> String {
    let mark = if record.cpu_bound { "*" } else { "" };
    format!("{:.1}{mark}", 100.0 * record.share)
}

fn verdict(case: &Case, records: &[Record]) -> String {
    let verdict = judge(case, records);
    if verdict.holds() { "holds".to_owned() } else { verdict.problems.join("; ") }
}

/// What the programs used of the processors.
pub(crate) fn cost_table(mbit: u32, records: &[Record]) -> String {
    let head = ["RTT, loss", "contender", "sends", "receives", "machine busy"].map(String::from);
    let mut table = Table::new(head.into());
    for case in cases(records).into_iter().filter(|case| case.mbit == mbit) {
        for record in newest(&case, records) {
            let cores = |names: [&str; 2]| {
                let used = names.into_iter().find_map(|name| record.cpu.get(name));
                used.map_or("–".to_owned(), |usage| format!("{:.2}", usage.cores))
            };
            table.row(vec![
                format!("{} ms, {} %", case.rtt_ms, case.loss_percent),
                record.contender.name().to_owned(),
                cores(["agent", "sender"]),
                cores(["hub", "receiver"]),
                format!("{:.0} %", 100.0 * record.machine_busy),
            ]);
        }
    }
    table.finish()
}

/// What was measured and is in no table, and why; nothing if all of it counts by now.
pub(crate) fn not_counted(records: &[Record]) -> String {
    let mut text = String::new();
    for case in all_cases(records.iter()) {
        for contender in Contender::ALL {
            let mut own =
                records.iter().filter(|record| record.case == case && record.contender == contender);
            if own.clone().any(|record| record.void.is_none()) {
                continue;
            }
            if let Some(why) = own.next_back().and_then(|record| record.void.as_ref()) {
                // Writing to a String can't fail.
                let _ = writeln!(text, "- {case}, {}: {why}", contender.name());
            }
        }
    }
    if text.is_empty() { text } else { format!("\n## Not counted\n\n{text}") }
}

/// On what machines, when, of which commits.
pub(crate) fn machines(records: &[Record]) -> String {
    let mut text = String::new();
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for record in records {
        let machine = &record.machine;
        if seen.contains(&(machine.kernel.as_str(), machine.processor.as_str())) {
            continue;
        }
        seen.push((&machine.kernel, &machine.processor));
        // Writing to a String can't fail.
        let _ = writeln!(
            text,
            "- {} cores ({}), Linux {}; UDP payload of Holdfast {} bytes at most, TCP send buffers {} kB at most",
            machine.cores,
            machine.processor,
            machine.kernel,
            machine.udp_payload_max,
            machine.tcp_send_buffer_max / 1024
        );
    }
    let dates = || records.iter().filter_map(|record| record.at.get(..10));
    let commits: BTreeSet<&str> = records.iter().map(|record| record.machine.commit.as_str()).collect();
    let commits: Vec<&str> = commits.into_iter().collect();
    let (from, to) = (dates().min().unwrap_or("–"), dates().max().unwrap_or("–"));
    let ours = records.iter().filter(|record| record.contender == Contender::Ours);
    let controllers: BTreeSet<&str> = ours.map(|record| record.congestion.as_str()).collect();
    let controllers: Vec<&str> = controllers.into_iter().collect();
    let _ = writeln!(text, "- congestion control of Holdfast: {}", controllers.join(", "));
    let _ =
        writeln!(text, "- measured from {from} to {to}, commits {} (`+`: with changes)", commits.join(", "));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wan_bench::verdict::tests::{CASE, record};

    fn records() -> Vec<Record> {
        let other = Case { loss_percent: 0.0, ..CASE };
        let slow = Case { mbit: 5, ..CASE };
        let at = |case, contender, share| Record { case, ..record(contender, share) };
        vec![
            at(CASE, Contender::Ours, 0.93),
            at(CASE, Contender::RsyncCubic, 0.02),
            at(other, Contender::Ours, 0.94),
            at(slow, Contender::Ours, 0.91),
            Record { void: Some("late".into()), ..at(Case { mbit: 7, ..CASE }, Contender::Ours, 0.5) },
        ]
    }

    #[test]
    fn cases_in_order_and_no_void_ones() {
        let cases = cases(&records());
        let names: Vec<String> = cases.iter().map(Case::to_string).collect();
        let expected =
            ["5 Mbit/s, 100 ms, 1 % loss", "100 Mbit/s, 100 ms, 0 % loss", "100 Mbit/s, 100 ms, 1 % loss"];
        assert_eq!(names, expected);
        assert_eq!(rates(&cases), BTreeSet::from([5, 100]));
    }

    #[test]
    fn what_is_void_is_told_until_it_counts() {
        let mut records = records();
        assert_eq!(
            not_counted(&records),
            "\n## Not counted\n\n- 7 Mbit/s, 100 ms, 1 % loss, Holdfast: late\n"
        );
        records.push(Record { case: Case { mbit: 7, ..CASE }, ..record(Contender::Ours, 0.9) });
        assert_eq!(not_counted(&records), "");
    }

    #[test]
    fn a_table_has_a_row_a_case() {
        let table = table(100, &records());
        assert!(
            table.contains("| 100 ms, 1 % | 93.0 | 2.0 | – | – | – | 93.0 | 10 | +100 | holds |"),
            "{table}"
        );
        assert_eq!(table.lines().count(), 4, "{table}");
    }

    #[test]
    fn charts_name_all_contenders() {
        let drawn = share_chart(100, &records());
        assert!(Contender::ALL.iter().all(|contender| drawn.contains(contender.name())), "{drawn}");
        assert!(drawn.contains("100 ms round trip"));
    }
}
