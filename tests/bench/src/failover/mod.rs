//! `holdfast-bench failover`: a site's recorder is lost, stopped or worked on while its cameras live, again and
//! again, over an emulated WAN, with several hub nodes that have to agree. How long is the gap, and where did the
//! time go?

mod lab;
mod sample;
mod summary;

use anyhow::{Context, ensure};
use ops::oracle::Comparison;

use lab::Lab;
use sample::Sample;

/// Arguments of `holdfast-bench failover`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// How much of the standby is ready beforehand
    #[arg(long, value_enum, default_value_t = Tier::Warm)]
    tier: Tier,
    /// What happens to the site
    #[arg(long, value_enum, default_value_t = By::Kill)]
    by: By,
    /// How often
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
#[value(rename_all = "kebab-case")]
enum By {
    /// Its recorder is killed
    Kill,
    /// Its recorder is stopped in good order, and says goodbye
    Shutdown,
    /// It is put into maintenance, and its recorder is killed then
    Maintenance,
    /// A person moves it, kills its recorder then, and gives it back
    Person,
    /// Its recorder is killed, and the leader of the hub's nodes while they are about it
    Leader,
}

impl By {
    fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Shutdown => "shutdown",
            Self::Maintenance => "maintenance",
            Self::Person => "person",
            Self::Leader => "leader",
        }
    }

    /// Does the hub know beforehand?
    fn is_planned(self) -> bool {
        matches!(self, Self::Shutdown | Self::Maintenance | Self::Person)
    }
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
    ensure!(
        args.by != By::Leader || args.voters > 1,
        "with one voter nobody is left when the leader is killed"
    );
    let mut lab = Lab::make(args)?;
    let held = measure(&mut lab, args).map(|(samples, frames)| summary::conclude(args, &samples, &frames));
    if !matches!(held, Ok(true)) {
        eprintln!("logs and archives are kept in {}", lab.keep().display());
    }
    held
}

fn measure(lab: &mut Lab, args: &Args) -> anyhow::Result<(Vec<Sample>, Comparison)> {
    lab.start()?;
    let mut samples = Vec::new();
    for number in 1..=args.times {
        let sample = Sample::take(lab, args.by, number).with_context(|| format!("time {number}"))?;
        eprintln!("{number:>3}: {sample}");
        samples.push(sample);
    }
    let frames = lab.account(&mut samples)?;
    Ok((samples, frames))
}
