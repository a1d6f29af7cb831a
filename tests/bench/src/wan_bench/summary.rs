//! What is said of results: a line for people, an object for programs.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::case::{Case, Contender};
use super::record::Record;
use super::verdict::{judge, newest};

/// All that one call of the benchmark comes to.
pub(crate) struct Summary<'a> {
    pub(crate) cases: &'a [Case],
    pub(crate) records: &'a [Record],
    /// Cases of which everything holds.
    pub(crate) held: usize,
    /// Contenders that could not be measured, and why.
    pub(crate) failed: &'a [String],
    /// Where the results are.
    pub(crate) file: &'a Path,
}

impl Summary<'_> {
    /// With the figures of the case, if it was one.
    pub(crate) fn json(&self) -> Value {
        let mut summary = Map::new();
        if let [case] = self.cases {
            for record in newest(case, self.records) {
                add_figures(&mut summary, record);
            }
            summary.insert("problems".into(), json!(judge(case, self.records).problems));
        }
        summary.insert("cases".into(), json!(self.cases.len()));
        summary.insert("held".into(), json!(self.held));
        summary.insert("failed".into(), json!(self.failed));
        summary.insert("results".into(), json!(self.file));
        Value::Object(summary)
    }
}

fn add_figures(summary: &mut Map<String, Value>, record: &Record) {
    let mut put = |key: &str, value: Value| {
        summary.insert(format!("{}_{key}", record.contender.key()), value);
    };
    put("share", rounded(record.share));
    put("queue_ms", rounded(record.queue_ms.mean));
    put("cold_share", rounded(record.cold_share));
    put("cpu_bound", json!(record.cpu_bound));
    if record.contender == Contender::Ours {
        summary.insert("congestion".into(), json!(record.congestion));
        summary.insert("live_lag_added_ms_p99".into(), json!(record.live_lag_added_ms_p99()));
        summary.insert("live_lag_idle_ms".into(), json!(record.live_lag_idle_ms));
        summary.insert("live_lag_ms".into(), json!(record.live_lag_ms));
    }
}

/// To four digits.
fn rounded(value: f64) -> Value {
    json!((value * 10_000.0).round() / 10_000.0)
}

/// One result, to standard error.
pub(crate) fn say(record: &Record) {
    let cpu: Vec<_> = record.cpu.iter().map(|(name, usage)| format!("{name} {:.2}", usage.cores)).collect();
    let lag = record.live_lag_added_ms_p99().map(|added| format!(", live lag +{added} ms"));
    eprintln!(
        "  {:.1} % of the link ({:.1} % cold), queue {:.1} ms (95 %: {:.1}){}; cores: {}, machine {:.0} % busy{}{}",
        100.0 * record.share,
        100.0 * record.cold_share,
        record.queue_ms.mean,
        record.queue_ms.p95,
        lag.unwrap_or_default(),
        cpu.join(", "),
        100.0 * record.machine_busy,
        if record.cpu_bound { ", processor-bound" } else { "" },
        record.void.as_ref().map(|why| format!(", VOID: {why}")).unwrap_or_default(),
    );
}
