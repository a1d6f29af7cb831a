//! `holdfast`: the operator's command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ops::commands::{
    coverage, disk, drill, events, export, fetch, hold, node, plan, reconcile, scrub, status, verify, why,
    wish,
};

/// Keep video evidence when something breaks: the operator's tools
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a CA of your own, certificates, and configurations for a hub and its sites
    Init(ops::init::Args),
    /// Do the main job on this machine: real cameras, two sites, a hub, a WAN that is cut
    Demo(ops::demo::Args),
    /// Show how a hub and its sites are, or how one site is
    Status(status::Args),
    /// Show when a camera was recorded, and why it was not
    Coverage(coverage::Args),
    /// Show what a camera or its recorder noticed: motion, reconnections, what will be lost
    Events(events::Args),
    /// Save what a camera recorded as one MP4 that proves itself
    Export(export::Args),
    /// Bring up to 24 hours that only the site has to the hub now: of cameras that replicate on demand, or ahead of a backlog
    Fetch(fetch::Args),
    /// Check an exported file, without any hub or site
    Verify(verify::Args),
    /// Tell what is still to cross between a site and its hub, and follow it until both are equal
    Reconcile(reconcile::Args),
    /// Tell who has authority over a site's recorder, and why
    Why(why::Args),
    /// Let the standby take a site over, until a person gives it back
    Failover(wish::Failover),
    /// Give a site its authority back
    Failback(wish::Failback),
    /// Move a standby that has authority to another host
    Relocate(wish::Relocate),
    /// Say which hosts should stand by for a site, best first
    Prefer(wish::Prefer),
    /// Say that a site's recorder will be silent, and that this is no fault
    Maintenance(wish::Maintenance),
    /// Rehearse a failure at sites, wait, and tell how it went
    Drill(drill::Args),
    /// Keep footage from being deleted, at the hub and at the site, until a stated time
    Hold(hold::Hold),
    /// Show what is held, and whether its site has confirmed that
    Holds(hold::Holds),
    /// Lift a hold
    Release(hold::Release),
    /// Say, after the hub's control log was restored, that its holds are right: vaults delete again
    ConfirmDeletion(wish::ConfirmDeletion),
    /// Re-read everything a hub or a site holds now, and wait until what is damaged is repaired
    Scrub(scrub::Args),
    /// Show an archive's disks, or say that one does not come back
    Disk(disk::Args),
    /// Tell whether every site has a place for its standby, also if nodes of the hub are lost
    Plan(plan::Args),
    /// Trust a site no more: its connections end, and it never comes back under its name
    Revoke(wish::Revoke),
    /// Add a node to the hub, or take one out
    Node(node::Args),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Init(arguments) => ops::init::run(arguments).map(|()| true),
        Command::Demo(arguments) => ops::demo::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Coverage(arguments) => coverage::run(&arguments),
        Command::Events(arguments) => events::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Fetch(arguments) => fetch::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Reconcile(arguments) => reconcile::run(&arguments),
        Command::Why(arguments) => why::run(&arguments),
        Command::Failover(arguments) => arguments.run(),
        Command::Failback(arguments) => arguments.run(),
        Command::Relocate(arguments) => arguments.run(),
        Command::Prefer(arguments) => arguments.run(),
        Command::Maintenance(arguments) => arguments.run(),
        Command::Drill(arguments) => drill::run(&arguments),
        Command::Hold(arguments) => arguments.run(),
        Command::Holds(arguments) => arguments.run(),
        Command::Release(arguments) => arguments.run(),
        Command::ConfirmDeletion(arguments) => arguments.run(),
        Command::Scrub(arguments) => scrub::run(&arguments),
        Command::Disk(arguments) => disk::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Revoke(arguments) => arguments.run(),
        Command::Node(arguments) => node::run(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("holdfast: {error:#}");
            ExitCode::FAILURE
        }
    }
}
