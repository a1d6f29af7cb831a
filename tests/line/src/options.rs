//! What to run, as options of a command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, Parser, ValueEnum};
use wan::options::{PathOptions, seconds};
use wan::{Outage, Settings};

/// Times are in seconds since the line exists.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The line.
    #[command(flatten)]
    pub path: PathOptions,
    /// Nothing passes in either direction, as at:for in seconds
    #[arg(long, value_delimiter = ',', value_parser = outage)]
    pub outage: Vec<Outage>,
    /// How long all of it takes
    #[arg(long = "for", default_value_t = 20.0)]
    pub for_s: f64,
    /// When the interval that figures are of begins
    #[arg(long = "from", default_value_t = 5.0)]
    pub from_s: f64,
    /// Who decides how much our connection has in flight
    #[arg(long, default_value = "holdfast")]
    pub congestion: Congestion,
    /// The contracted rate, in UDP payload; for holdfast
    #[arg(long)]
    pub ceiling_mbit: Option<f64>,
    /// Streams the bulk is spread over
    #[arg(long, default_value_t = 8)]
    pub streams: usize,
    /// Bytes in flight on one stream at most, if not the transport's
    #[arg(long)]
    pub stream_window_kib: Option<u32>,
    /// What both ends' kernels are asked to hold, if not what the transport asks for
    #[arg(long)]
    pub socket_buffer_kib: Option<usize>,
    /// When our connection begins; after --for it never does, and TCP is alone
    #[arg(long, default_value_t = 0.0)]
    pub ours_at: f64,
    /// Each packet in a system call of its own
    #[arg(long)]
    pub no_gso: bool,
    /// TCP flows on the same line: cubic, bbr or what else the kernel has
    #[arg(long, value_delimiter = ',')]
    pub beside: Vec<String>,
    /// When they begin
    #[arg(long, default_value_t = 0.0)]
    pub beside_at: f64,
    /// When they end, if before the end
    #[arg(long)]
    pub beside_until: Option<f64>,
    /// A stream before the bulk, such as a camera's
    #[arg(long)]
    pub live_kbit: Option<f64>,
    /// Its pieces
    #[arg(long, default_value_t = 1000.0)]
    pub live_chunk_ms: f64,
    /// Less to send than the line takes, during --source-limit
    #[arg(long, requires = "source_limit")]
    pub source_limit_kbit: Option<f64>,
    /// When, as from:to in seconds
    #[arg(long, requires = "source_limit_kbit", value_parser = interval)]
    pub source_limit: Option<(f64, f64)>,
    /// Write a table of every 100 ms to this file
    #[arg(long)]
    pub trace: Option<PathBuf>,
}

/// A congestion controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Congestion {
    /// Our own.
    Holdfast,
    /// quinn's.
    Cubic,
    /// quinn's.
    Bbr,
}

#[derive(Parser)]
#[command(no_binary_name = true, args_override_self = true)]
struct Words {
    #[command(flatten)]
    options: Options,
}

impl Options {
    /// From the words of a command line, without the program's name; a later one overrides an earlier one.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> anyhow::Result<Self> {
        Ok(Words::try_parse_from(words)?.options)
    }

    pub(crate) fn wan(&self) -> anyhow::Result<Settings> {
        ensure!(self.from_s < self.for_s, "--from must be before --for");
        ensure!(
            self.path.mbit.or(self.path.policer_mbit).is_some(),
            "a line has a rate: say --mbit or --policer-mbit"
        );
        let mut settings = self.path.settings()?;
        settings.a_to_b.outages.clone_from(&self.outage);
        settings.b_to_a.outages.clone_from(&self.outage);
        Ok(settings)
    }

    /// What means are taken over: long enough for a controller to have reacted.
    pub(crate) fn window(&self) -> f64 {
        (2.0 * self.path.rtt_ms / 1000.0).max(0.3)
    }

    /// Kbit/s that there are to send, and until when, if that is limited now.
    pub(crate) fn source_limit_at(&self, now: Duration) -> Option<(f64, Duration)> {
        let ((from, to), now) = (self.source_limit?, now.as_secs_f64());
        let kbit = self.source_limit_kbit.filter(|_| (from..to).contains(&now))?;
        Some((kbit, Duration::from_secs_f64(to)))
    }

    pub(crate) fn beside_end(&self) -> Duration {
        Duration::from_secs_f64(self.beside_until.unwrap_or(self.for_s).min(self.for_s))
    }

    pub(crate) fn end(&self) -> Duration {
        Duration::from_secs_f64(self.for_s)
    }
}

fn outage(text: &str) -> Result<Outage, String> {
    let outage = || {
        let (at, length) = pair(text, "at:for")?;
        anyhow::Ok(Outage { at: seconds(at)?, length: seconds(length)? })
    };
    outage().map_err(|error| format!("{error:#}"))
}

fn interval(text: &str) -> Result<(f64, f64), String> {
    pair(text, "from:to").map_err(|error| format!("{error:#}"))
}

fn pair(text: &str, form: &str) -> anyhow::Result<(f64, f64)> {
    let (one, other) = text.split_once(':').with_context(|| format!("write {form}, in seconds"))?;
    Ok((one.parse()?, other.parse()?))
}
