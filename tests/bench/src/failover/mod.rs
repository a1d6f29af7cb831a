//! `holdfast-bench failover`: a site's recorder is killed while its cameras live, again and again, over an
//! emulated WAN, with several hub nodes that have to agree. How long is the gap, and where did the time go?

mod lab;
mod sample;
mod summary;

use anyhow::ensure;

use lab::Lab;
use sample::Sample;

/// Arguments of `holdfast-bench failover`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// How much of the standby is ready beforehand
    #[arg(long, value_enum, default_value_t = Tier::Warm)]
    tier: Tier,
    /// How often the recorder is killed
    #[arg(long, default_value_t = 10)]
    times: u32,
    /// Hub nodes that vote: 1, 3 or 5
    #[arg(long, default_value_t = 3)]
    voters: usize,
    /// Round trip between site and hub
    #[arg(long, default_value_t = 50)]
    rtt_ms: u32,
    /// The last line of the output is one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Tier {
    Hot,
    Warm,
    Cold,
}

impl Tier {
    fn word(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Warm => "warm",
            Self::Cold => "cold",
        }
    }
}

/// Fails a recorder over and over; true if what is promised holds.
pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    ensure!([1, 3, 5].contains(&args.voters), "--voters is 1, 3 or 5: an even number decides no better");
    let mut lab = Lab::make(args)?;
    lab.start()?;
    let mut samples = Vec::new();
    for number in 1..=args.times {
        let sample = Sample::take(&mut lab)?;
        eprintln!("{number:>3}: {sample}");
        samples.push(sample);
    }
    let frames = lab.account(&mut samples)?;
    Ok(summary::conclude(args, &samples, &frames))
}
