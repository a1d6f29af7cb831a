//! Many lines, one after the other, as a table.
//!
//! A matrix is a text file: on each line a name and options, `#` begins a remark.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::options::Options;
use crate::outcome::Outcome;
use crate::run::run;

/// A case.
pub struct Case<'a> {
    /// Its name.
    pub name: &'a str,
    /// What to run.
    pub options: Options,
}

/// Reads a matrix; `also` are words of options that hold for every case, and come last.
pub fn cases<'a>(text: &'a str, also: &'a [String]) -> Result<Vec<Case<'a>>> {
    let lines =
        text.lines().enumerate().map(|(index, line)| (index + 1, line.split('#').next().unwrap_or("")));
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    let case = |(number, line): (usize, &'a str)| {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or("");
        let options = Options::parse(words.chain(also.iter().map(String::as_str)));
        let options = options.and_then(|options| options.wan().map(|_| options));
        Ok(Case { name, options: options.with_context(|| format!("line {number} of the matrix"))? })
    };
    lines.map(case).collect()
}

/// The table's head.
pub const HEAD: &str = "| case | share % | cold % | Mbit/s | queue ms mean/p95/p99 | again % | lost % (path) | of both % | beside Mbit/s \
| steps: settle/held/queue s | outage: first/full s | live ms p50/p99/missing | cores (stolen) | late ms | |\n\
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|";

/// Runs the cases, each with `lock` held if there is one; each row is written when it is there.
pub fn table(cases: &[Case<'_>], lock: Option<&Path>, mut out: impl Write) -> Result<()> {
    writeln!(out, "{HEAD}")?;
    for case in cases {
        let held = lock.map(hold).transpose()?;
        let ran = run(&case.options);
        drop(held);
        match ran {
            Ok(outcome) => writeln!(out, "{}", row(case.name, &outcome))?,
            Err(error) => writeln!(out, "| {} | {error:#} |", case.name)?,
        }
        out.flush()?;
    }
    Ok(())
}

/// Waits for a file that whoever needs a quiet machine locks. The lock goes with the file.
pub fn hold(lock: &Path) -> Result<File> {
    let hold = || -> std::io::Result<File> {
        let file = File::options().create(true).truncate(false).write(true).open(lock)?;
        file.lock()?;
        Ok(file)
    };
    hold().with_context(|| format!("lock {}", lock.display()))
}

/// A row of the table.
pub fn row(name: &str, outcome: &Outcome) -> String {
    let Outcome { queue_ms: queue, .. } = outcome;
    let percent = |share: f64| format!("{:.1}", share * 100.0);
    let seconds = |time: Option<f64>| time.map_or("never".to_owned(), |time| format!("{time:.2}"));
    let join = |parts: Vec<String>| parts.join(", ");
    let steps = outcome
        .steps
        .iter()
        .map(|step| format!("{}/{}/{}", seconds(step.settle_s), seconds(step.held_s), seconds(step.queue_s)));
    let outages =
        outcome.outages.iter().map(|cut| format!("{}/{}", seconds(cut.first_s), seconds(cut.full_s)));
    let live =
        outcome.live.as_ref().map(|live| format!("{:.0}/{:.0}/{}", live.ms.p50, live.ms.p99, live.missing));
    let cells = [
        name.to_owned(),
        percent(outcome.share),
        outcome.cold_share.map(percent).unwrap_or_default(),
        format!("{:.2}", outcome.goodput_mbit),
        format!("{:.1}/{:.1}/{:.1}", queue.mean, queue.p95, queue.p99),
        format!("{:.2}", outcome.retransmitted_share * 100.0),
        format!("{:.2} ({:.2})", outcome.lost_share * 100.0, outcome.path_loss * 100.0),
        outcome.ours_of_both.map(percent).unwrap_or_default(),
        join(outcome.beside_mbit.iter().map(|mbit| format!("{mbit:.1}")).collect()),
        join(steps.collect()),
        join(outages.collect()),
        live.unwrap_or_default(),
        format!("{:.2} ({:.2})", outcome.cores, outcome.stolen_cores),
        format!("{:.1}", outcome.late_us_p99 as f64 / 1000.0),
        if outcome.void.is_empty() { String::new() } else { format!("VOID: {}", outcome.void.join("; ")) },
    ];
    format!("| {} |", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_matrix_is_read_and_its_mistakes_are_named() {
        let also = ["--trust".to_owned(), "--mbit".to_owned(), "7".to_owned()];
        let text =
            "# a remark\n\nfirst --mbit 5 --rtt-ms 20 # of two\nsecond --mbit 100 --beside cubic,bbr\n";
        let read = cases(text, &also).unwrap();
        assert_eq!(read.iter().map(|case| case.name).collect::<Vec<_>>(), ["first", "second"]);
        assert!(read.iter().all(|case| case.options.path.trust && case.options.path.mbit == Some(7.0)));
        assert_eq!(read[1].options.beside, ["cubic", "bbr"]);
        let wrong = cases("first --mbit 5\nsecond --rtt 5", &[]).err().unwrap();
        assert!(format!("{wrong:#}").contains("line 2"), "{wrong:#}");
    }
    #[test]
    fn the_matrices_here_can_be_run_and_no_case_takes_longer_than_half_a_minute() {
        for text in [include_str!("../matrix/quick.txt"), include_str!("../matrix/issue.txt")] {
            let cases = cases(text, &[]).unwrap();
            let names: BTreeSet<_> = cases.iter().map(|case| case.name).collect();
            assert_eq!(names.len(), cases.len(), "two cases have the same name");
            assert!(cases.iter().all(|case| case.options.for_s <= 30.0));
        }
    }
}
