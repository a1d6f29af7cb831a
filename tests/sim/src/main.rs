//! `holdfast-sim`: runs seeds, and says what they broke.

use std::process::ExitCode;

use clap::Parser;
use sim::mutant::Mutant;
use sim::run;

/// Runs the real cores in virtual time, with everything going wrong that may.
#[derive(Debug, Parser)]
#[command(name = "holdfast-sim")]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100, conflicts_with = "seed")]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0, conflicts_with = "seed")]
    from: u64,
    /// Run this seed only.
    #[arg(long)]
    seed: Option<u64>,
    /// Print the timeline; with --seed.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Only links that come and go, an hour each seed, and recorders that die in quiet moments.
    #[arg(long)]
    flapping: bool,
    /// Switch a rule off: the run must then fail.
    #[arg(long)]
    mutant: Option<Mutant>,
    /// Threads; as many as there are cores if not given.
    #[arg(long)]
    threads: Option<usize>,
    /// Also print how often each rare state was reached.
    #[arg(long)]
    reach: bool,
    /// The last line of standard output is one JSON object.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    fn suite(&self) -> run::Suite {
        if self.flapping { run::Suite::Flapping } else { run::Suite::Everything }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let began = wire::clock::now();
    let summary = match arguments.seed {
        Some(seed) => one(seed, &arguments),
        None => many(&arguments),
    };
    let took = wire::clock::now().duration_since(began).as_secs_f64();
    let hours = summary.simulated.as_secs_f64() / 3600.0;
    let hours_per_minute = hours / (took / 60.0).max(1e-9);
    // A state that is never reached proves nothing; a few seeds can't reach them all.
    let missing: Vec<_> = summary.reach.missing().map(|state| state.to_string()).collect();
    let thorough = arguments.mutant.is_none() && !arguments.flapping && summary.seeds >= 1000;
    if arguments.reach {
        for state in sim::reach::State::ALL {
            eprintln!("{:>9}  {state}", summary.reach.count(*state));
        }
    }
    if thorough {
        missing.iter().for_each(|state| eprintln!("never reached: {state}"));
    }
    let events = summary.events as f64 / 1e6;
    eprintln!(
        "{} seeds, {} failures, {hours:.1} simulated hours, {events:.1} million events, in {took:.1} s: {hours_per_minute:.0} hours a minute",
        summary.seeds,
        summary.failures.len()
    );
    if arguments.json {
        let line = serde_json::json!({
            "seeds": summary.seeds,
            "failures": summary.failures.len(),
            "first_failing_seed": summary.failures.first().map(|(seed, _)| seed),
            "simulated_hours": hours,
            "hours_per_minute": hours_per_minute,
            "never_reached": missing,
            "activations": summary.activations,
            "needless_activations": summary.needless,
            "takeovers": summary.takeovers.len(),
            "takeover_ms": {
                "p50": summary.takeover_permille(500).as_millis(),
                "p99": summary.takeover_permille(990).as_millis(),
                "max": summary.takeover_permille(1000).as_millis(),
            },
        });
        println!("{line}");
    }
    let slow = summary.slow_takeovers();
    if let Some(slow) = slow {
        eprintln!("{slow} of {} take-overs were slower than 99 of 100 may be", summary.takeovers.len());
    }
    let good = summary.failures.is_empty() && slow.is_none() && (!thorough || missing.is_empty());
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(seed: u64, arguments: &Arguments) -> run::Summary {
    let outcome = run::one(arguments.suite(), seed, arguments.mutant, arguments.trace);
    outcome.trace.iter().for_each(|line| println!("{line}"));
    for violation in &outcome.violations {
        eprintln!("seed {seed}: {violation}");
    }
    run::Summary::of(&outcome)
}

fn many(arguments: &Arguments) -> run::Summary {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.unwrap_or(cores);
    let mutant = arguments.mutant;
    run::many(arguments.suite(), arguments.from, arguments.seeds, mutant, threads, &|outcome| {
        for violation in outcome.violations.iter().take(1) {
            let flapping = if arguments.flapping { " --flapping" } else { "" };
            let mutant = mutant.map(|mutant| format!(" --mutant {mutant}")).unwrap_or_default();
            let with = format!("{flapping}{mutant}");
            eprintln!(
                "seed {}: {violation}\n  replay: holdfast-sim --seed {} --trace{with}",
                outcome.seed, outcome.seed
            );
        }
    })
}
