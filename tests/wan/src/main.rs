//! `holdfast-wan`: the WAN in a box, by hand.

mod arguments;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use arguments::Arguments;
use clap::Parser;
use tokio::signal::unix::{Signal, SignalKind, signal};
use wan::netns::{Made, Netns};
use wan::prove::{self, Check};
use wan::{Report, Wan};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = if arguments.prove { prove(arguments.json) } else { run(&arguments) };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("holdfast-wan: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// True if the WAN did what it was to.
fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
    runtime.block_on(async {
        // Before anything is made, so that an early Ctrl-C still removes it.
        let mut ends = Ends::new()?;
        let (a, b) = arguments.ends()?;
        let settings = arguments.settings()?;
        let mut made = Vec::new();
        for netns in [&a.netns, &b.netns].into_iter().filter(|netns| !netns.exists()) {
            ensure!(arguments.create, "{netns} does not exist: make it, or say --create");
            if let Netns::Named(name) = netns {
                made.push(Made::new(name)?);
            }
        }
        let wan = Wan::start(&a, &b, &settings)?;
        eprintln!("{} in {} and {} in {} are joined", a.address, a.netns, b.address, b.netns);
        println!("ready");
        ends.wait(arguments.for_s).await;
        finish(&wan, arguments.json)
    })
}

fn finish(wan: &Wan, json: bool) -> anyhow::Result<bool> {
    let report = wan.report()?;
    println!(
        "{}",
        if json { serde_json::to_string(&report)? } else { serde_json::to_string_pretty(&report)? }
    );
    Ok(tell_trouble(&report))
}

/// True if there was none.
fn tell_trouble(report: &Report) -> bool {
    let mut good = true;
    for (name, way) in [("A to B", &report.a_to_b), ("B to A", &report.b_to_a)] {
        if let Some(why) = &way.failed {
            eprintln!("holdfast-wan: {name} ended early: {why}");
            good = false;
        }
        if way.unread > 0 {
            eprintln!(
                "holdfast-wan: {name}: {} packets came faster than this machine could take them, and are lost \
                 besides what was asked for",
                way.unread
            );
            good = false;
        }
    }
    good
}

fn prove(json: bool) -> anyhow::Result<bool> {
    let proof = prove::run(|check| {
        let Check { name, asked, measured, unit, cpu_percent, late_us_p99, ok } = check;
        let verdict = if *ok { "holds" } else { "DOES NOT HOLD" };
        eprintln!(
            "{name:17} asked {asked:8.1}  measured {measured:8.2} {unit:8} processor {cpu_percent:5.1} %  \
             late {late_us_p99:5} us (p99)  {verdict}"
        );
    })?;
    eprintln!("carries {} full-size packets/s in one direction", proof.carried_packets_per_s);
    println!("{}", if json { serde_json::to_string(&proof)? } else { serde_json::to_string_pretty(&proof)? });
    Ok(proof.ok)
}

/// What ends a run: a signal, or time.
struct Ends {
    interrupt: Signal,
    terminate: Signal,
}

impl Ends {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listen for signals");
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn wait(&mut self, for_s: Option<f64>) {
        let time = async {
            match for_s {
                Some(seconds) => tokio::time::sleep(Duration::from_secs_f64(seconds)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = time => {}
        }
    }
}
