//! The run as a table, a row every 100 ms.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::arrivals::Arrivals;
use crate::run::Stage;
use crate::watch::Seen;

const HEAD: &str = "t,ours_mbit,beside_mbit,queue_ms,rtt_ms,cwnd,rate_mbit,min_rtt_ms,queue_estimate_ms,\
                    loss_estimate,phase,lost_packets,sent_packets";

/// Rates are of the 100 ms that begin there; what the controller believes is left out if it is not ours.
pub(crate) fn write(stage: &Stage, seen: &Seen, file: &Path) -> Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    writeln!(out, "{HEAD}")?;
    let ms = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1e3);
    for (row, next) in seen.rows.iter().zip(seen.rows.iter().skip(1)) {
        let mbit = |flow: &Arrivals| flow.mbit(row.at, next.at);
        let beside = stage.beside.iter().map(mbit).fold(0.0, |sum, one| sum + one);
        let queue = row.queue.map(ms).unwrap_or_default();
        write!(out, "{:.2},{:.3},{beside:.3},{queue},", row.at, mbit(&stage.ours.arrivals))?;
        let path = row.stats.map(|stats| stats.path).unwrap_or_default();
        write!(out, "{},{},", ms(path.rtt), path.cwnd)?;
        match &row.estimate {
            Some(now) => {
                let (min_rtt, queue) = (ms(now.min_rtt), ms(now.queue));
                write!(out, "{:.3},{min_rtt},{queue},{:.4},{:?},", now.rate * 8e-6, now.loss, now.phase)?;
            }
            None => write!(out, ",,,,,")?,
        }
        writeln!(out, "{},{}", path.lost_packets, path.sent_packets)?;
    }
    Ok(out.flush()?)
}
