//! The benchmark itself, small: real daemons, a real peer, a line of 20 Mbit/s. It needs root, and the
//! packages of `ops/setup.sh --tests`. What comes out is not judged: here it matters that something does.

#![allow(clippy::unwrap_used)] // a test's helpers panic like the test itself

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn bench(arguments: &str, results: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-bench"));
    command.args(arguments.split_whitespace()).arg("--results").arg(results).output().unwrap()
}

#[test]
fn a_line_is_measured_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let results = dir.path().join("wan.jsonl");
    let quick = "wan --mbit 20 --rtt-ms 20 --loss-percent 0 --contender ours,rsync-cubic \
                 --warm-s 1.5 --steady-s 3 --idle-s 1 --json";
    let done = bench(quick, &results);
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    let summary: Value = serde_json::from_str(said.lines().last().unwrap_or_default())
        .unwrap_or_else(|_| panic!("no summary; it said:\n{errors}"));
    assert_eq!(summary["failed"], serde_json::json!([]), "{errors}");
    let records = std::fs::read_to_string(&results).unwrap();
    let records: Vec<Value> = records.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 2);
    // Also of what is void: a busy machine may make it so.
    for record in &records {
        assert!((0.3..1.1).contains(&record["share"].as_f64().unwrap()), "{record}");
        assert!(record["queue_ms"]["max"].as_f64().unwrap() <= 101.0, "{record}");
    }
    assert!(records[0]["live_lag_ms"]["count"].as_u64().unwrap() > 0, "{}", records[0]);
    assert!(records.iter().all(|record| record["uplink"]["packets"].as_u64().unwrap() > 1000), "{records:?}");
    assert!(records[0]["cpu"]["agent"]["cores"].as_f64().unwrap() > 0.0, "{records:?}");

    let reported = bench(&format!("report --to {}", dir.path().display()), &results);
    assert!(reported.status.success(), "{reported:?}");
    let page = std::fs::read_to_string(dir.path().join("performance.md")).unwrap();
    let void = |record: &&Value| record["void"].is_string();
    for record in records.iter().filter(void) {
        assert!(page.contains(record["void"].as_str().unwrap()), "{page}");
    }
    let counts = !records.iter().all(|record| void(&record));
    assert_eq!(page.contains("## 20 Mbit/s"), counts, "{page}");
    assert_eq!(page.contains("performance/share-20.svg"), counts, "{page}");
    assert_eq!(dir.path().join("performance/queue-20.svg").is_file(), counts);
}

#[test]
fn there_is_nothing_to_report_of_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let reported = bench(&format!("report --to {}", dir.path().display()), &dir.path().join("none"));
    assert!(!reported.status.success());
    assert!(
        String::from_utf8_lossy(&reported.stderr).contains("run holdfast-bench wan first"),
        "{reported:?}"
    );
}
