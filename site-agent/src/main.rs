//! `site-agent`: records a site's cameras and streams them to the hub.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use site_agent::archive::Archive;
use site_agent::archive::adopt::{Adopted, adopt};
use site_agent::archive::disks::{Keeper, Place, Whose};
use site_agent::beats::{Beats, Facts};
use site_agent::config::{self, SiteConfig};
use site_agent::holds::Kept;
use site_agent::live::Live;
use site_agent::neighbour::{self, Hosted};
use site_agent::reload;
use site_agent::renew::Renewal;
use site_agent::replication::Replication;
use site_agent::retention::{self, Retention};
use site_agent::scrub::{self, Elsewhere, Scrub};
use site_agent::uplink::{self, Source, Uplink, UplinkStatus};
use site_agent::virtual_server::{self, Base, VirtualServer};
use site_agent::{cli, daemon};
use tokio_util::task::AbortOnDropHandle;
use wire::proto::ByeReason;
use wire::transport::{Identity, QuicThreads};

/// One connection, one task: more threads would have nothing to do.
const QUIC_THREADS: usize = 1;

/// How long a restart may take before the hub gives up waiting for it: a slow disk's recovery, and a dial.
const RESTART: Duration = Duration::from_secs(30);

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Record, keep, and stream to the hub until told to stop
    Run(Config),
    /// Say everything that is wrong with a configuration
    Check {
        #[command(flatten)]
        config: Config,
        /// One JSON object instead of text
        #[arg(long)]
        json: bool,
    },
    /// Take in what a crash left, without recording
    Recover(Config),
    /// Take over the archive of a box that was replaced, from its disk
    Adopt {
        #[command(flatten)]
        config: Config,
        /// The archive's folder on that disk
        dir: PathBuf,
        /// The folder of a further disk of that archive
        #[arg(long = "disk")]
        disks: Vec<PathBuf>,
        /// One JSON object instead of text
        #[arg(long)]
        json: bool,
    },
    /// Say that this machine's clock is right, after a jump: recordings grow old again
    ConfirmClock(Config),
    /// Re-read an archive and check every hash; nobody may have it open
    Verify(cli::VerifyArgs),
}

#[derive(clap::Args)]
struct Config {
    /// The configuration file
    #[arg(long, default_value = "/etc/holdfast/site.toml")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(arguments) => run(&arguments.config).map(|()| true),
        Command::Check { config, json } => Ok(config::report(&config::load_site(&config.config), json)),
        Command::Recover(arguments) => recover(&arguments.config).map(|()| true),
        Command::Adopt { config, dir, disks, json } => take_over(&config.config, (&dir, &disks), json),
        Command::ConfirmClock(arguments) => confirm_clock(&arguments.config).map(|()| true),
        Command::Verify(arguments) => cli::run_verify(&arguments),
    };
    cli::finish("site-agent", done)
}

fn recover(file: &Path) -> anyhow::Result<()> {
    cli::log();
    let config = cli::usable(file, config::load_site(file))?;
    let archive = open(&config)?;
    archive.take_disks(Whose::Site(config.site.id.clone()))?;
    let count = virtual_server::recover(&archive, &config.site.id)?;
    println!("{count} open segments were taken in");
    Ok(())
}

fn take_over(file: &Path, (dir, disks): (&Path, &[PathBuf]), json: bool) -> anyhow::Result<bool> {
    cli::log();
    let config = cli::usable(file, config::load_site(file))?;
    let site = &config.site.id;
    // Opening makes one where there is none.
    anyhow::ensure!(dir.join("index/CURRENT").is_file(), "there is no archive in {}", dir.display());
    let same = |path: &Path| path.canonicalize().ok();
    anyhow::ensure!(
        same(dir) != same(&config.archive.dir),
        "{} is this agent's own archive: name the old one's folder, or do nothing, if this is it",
        dir.display()
    );
    let archive = open(&config).context("stop the agent first, if it runs")?;
    let places = disks.iter().map(|dir| Place { dir: dir.clone(), same_file_system: false });
    let from = Archive::open_with(dir, &places.collect::<Vec<_>>())
        .with_context(|| format!("open the old archive {}", dir.display()))?;
    if let Some(other) = from.other_than(site) {
        anyhow::bail!(
            "{} holds recordings of site {other}, and site.id is `{site}`; nothing was touched",
            dir.display()
        );
    }
    from.take_disks(Whose::Site(site.clone()))?;
    archive.take_disks(Whose::Site(site.clone()))?;
    let out = from.disks_shown().into_iter().find(|disk| !disk.in_use);
    if let Some(out) = out {
        anyhow::bail!("{}, a disk of the old archive: {}; name it with --disk", out.dir, out.detail);
    }
    // What either run left open is taken in where it is.
    virtual_server::recover(&from, site)?;
    virtual_server::recover(&archive, site)?;
    let mut shown = 0;
    let adopted = adopt(&archive, &from, site, |so_far| {
        if so_far.segments >= shown + 100 {
            shown = so_far.segments;
            eprintln!("{shown} segments, {} MB", so_far.bytes / 1_000_000);
        }
    })?;
    let whole = adopted.bad.is_empty();
    if json {
        println!("{}", serde_json::to_string(&adopted)?);
    } else {
        adopted.bad.iter().for_each(|bad| println!("BAD   {bad}"));
        let Adopted { ledgers, entries, segments, bytes, unacked, bad } = adopted;
        println!(
            "{segments} segments ({bytes} bytes) and {entries} entries of {ledgers} ledgers were taken over; the hub has not \
             acked {unacked} of them; {} can't be read or are damaged, and are asked for at the hub",
            bad.len()
        );
    }
    Ok(whole)
}

fn confirm_clock(file: &Path) -> anyhow::Result<()> {
    let config = cli::usable(file, config::load_site(file))?;
    retention::confirm_clock(&config.archive.dir).context("tell the agent")?;
    println!("the clock is confirmed; the agent looks within seconds");
    Ok(())
}

#[tokio::main]
async fn run(file: &Path) -> anyhow::Result<()> {
    cli::log();
    let config = Arc::new(cli::usable(file, config::load_site(file))?);
    let stop = cli::stop_or_restart_signal()?;
    let reloads = reload::listen()?;
    let hub = match &config.hub {
        Some(_) => {
            Some((identity(&config)?, QuicThreads::start(QUIC_THREADS).context("start QUIC's threads")?))
        }
        None => None,
    };
    let archive = open(&config)?;
    if config.hub.is_none() && archive.is_index_lost() {
        // There is nobody to ask what the files are.
        let (archive, site) = (archive.clone(), config.site.id.clone());
        let enter = move || archive.index_is_whole(archive.enter_unknown(&site, false)?);
        let entered = tokio::task::spawn_blocking(enter);
        entered.await.context("enter files")?.context("enter files that no entry speaks of")?;
    }
    let disks = Keeper::start(&archive, Whose::Site(config.site.id.clone()))?;
    let looked_after = archive.clone();
    let renewal =
        Renewal::watch(archive.clone(), move || looked_after.poisoned().is_some(), stop.token.clone());
    let replication = Arc::new(replication(&config, &archive));
    let reloads =
        AbortOnDropHandle::new(tokio::spawn(reload::run(reloads, file.to_owned(), replication.clone())));
    let live = Arc::<Live>::default();
    // Before this run opens files of its own.
    let standbys = archive.clone();
    let recovered = tokio::task::spawn_blocking(move || virtual_server::recover_standbys(&standbys));
    recovered.await.context("recover")?.context("recover what was recorded for other sites")?;
    let mut server = VirtualServer::start(&config, archive.clone(), Arc::clone(&live)).await?;
    tracing::info!(site = %config.site.id, origin = %server.origin(), "recording");
    let kept = Arc::<retention::Status>::default();
    let holds = Arc::<retention::Holds>::default();
    // Before retention begins: what an earlier run was told is not to be freed by this one.
    let held = hub_holds(&config, archive.dir(), &holds);
    let settings = retention::Settings {
        rules: config.retention(),
        holds: holds.clone(),
        ballast_bytes: config.archive.ballast_bytes,
        writer: retention::Writer::Run(server.origin()),
        replication: Some(replication.clone()),
    };
    let retention = Retention::start(&archive, settings, kept.clone())?;
    let scrubbed = Arc::<scrub::Status>::default();
    let writer = retention::Writer::Run(server.origin());
    let scrub = scrub::Settings {
        rules: config.archive.scrub,
        elsewhere: if config.hub.is_some() { Elsewhere::Hub } else { Elsewhere::Nobody(writer) },
    };
    let scrub = Scrub::start(&archive, scrub, scrubbed.clone())?;
    let status = Arc::new(UplinkStatus::default());
    let hosted: Vec<_> = config.hosts.iter().map(Hosted::new).collect();
    let beats = config.hub.as_ref().map(|hub| {
        let facts = Facts::new(&config, server.origin(), server.statuses(), status.clone());
        let facts = facts.with_hosted(hosted.clone());
        let file = archive.dir().join("hub-voters");
        let beats = Beats::new(facts, hub.beat, config.uplink.paths.clone(), hub.address.clone(), file);
        let beats = beats.with_holds(held.clone()).with_drills(config.standby.drills);
        with_configuration(beats, &config)
    });
    let beats = beats.map(Arc::new);
    let stop_hosting = tokio_util::sync::CancellationToken::new();
    let hosting = |(beats, hosted): (&Arc<Beats>, &Hosted)| {
        host(hosted, (&config, &archive, &live), beats.clone(), stop_hosting.clone())
    };
    let begun = beats.iter().flat_map(|beats| hosted.iter().map(move |hosted| (beats, hosted))).map(hosting);
    let (recorders, sources): (Vec<_>, Vec<_>) = begun.unzip();
    let surface = daemon::Surface {
        config: config.clone(),
        replication: replication.clone(),
        archive: archive.clone(),
        live: live.clone(),
        statuses: server.statuses(),
        hosted,
        retention: kept,
        holds,
        held,
        scrub: scrubbed.clone(),
        uplink: status.clone(),
        beats: beats.clone(),
        origin: server.origin(),
    };
    let http = surface.start(stop.token.clone());
    // The uplink outlives the recorders, so that what they close at the end still reaches the hub.
    let hang_up = tokio_util::sync::CancellationToken::new();
    let uplink = hub.as_ref().zip(beats).map(|((identity, threads), beats)| {
        let told = beats.clone();
        let uplink = Uplink {
            config: config.clone(),
            replication: replication.clone(),
            identity: identity.clone(),
            quic: threads.handle(),
            archive: archive.clone(),
            live,
            beats,
            writer,
            scrub: scrubbed,
            status: status.clone(),
            hosted: sources,
        };
        (told, tokio::spawn(uplink.run(hang_up.clone())))
    });
    let drills = uplink.as_ref().map(|(beats, _)| beats.lost());
    daemon::record_until(&stop.token, &mut server, &config, drills).await;
    // Before anything stops: whoever takes over begins while this still records.
    if let Some((beats, _)) = &uplink {
        say_goodbye(beats, stop.is_restart() || renewal.is_due()).await;
    }
    // What the recorders write last is to be the last of their ledgers.
    let end = move || drop((disks, scrub, retention));
    tokio::task::spawn_blocking(end).await.context("end retention and scrub")?;
    server.stop().await;
    stop_hosting.cancel();
    for recorder in recorders {
        let _ = recorder.await; // one that panicked has said so
    }
    tracing::info!("recorders are stopped");
    if let Some((_, uplink)) = uplink {
        daemon::drain(&archive, &status, &replication.now()).await;
        hang_up.cancel();
        let _ = uplink.await;
    }
    let _ = http.await;
    drop(reloads);
    renewal.end()
}

/// Another site of the place: what records its cameras, and what of that goes to its vault.
fn host(
    hosted: &Hosted,
    (config, archive, live): (&SiteConfig, &Archive, &Arc<Live>),
    beats: Arc<Beats>,
    stop: tokio_util::sync::CancellationToken,
) -> (tokio::task::JoinHandle<()>, Source) {
    let site = hosted.host.site.clone();
    let base = Base {
        site: site.clone(),
        archive: archive.clone(),
        live: live.clone(),
        segment: config.archive.segment,
        fragment: config.archive.fragment,
    };
    let source = Source {
        site,
        recorder: uplink::Recorder::Standby,
        archive: archive.clone(),
        live: live.clone(),
        replication: Arc::new(Replication::unlimited()),
        status: hosted.link.clone(),
    };
    (tokio::spawn(neighbour::run(hosted.clone(), base, beats, stop)), source)
}

/// The archive, if it is this site's: a disk from elsewhere is not mixed with what is recorded here.
fn open(config: &SiteConfig) -> anyhow::Result<Archive> {
    let (dir, site) = (&config.archive.dir, &config.site.id);
    let archive = Archive::open_with(dir, &config.archive.disks)?;
    if let Some(other) = archive.other_than(site) {
        anyhow::bail!(
            "archive.dir {} holds recordings of site {other}, and site.id is `{site}`: give this agent a folder of its \
             own; nothing of {other}'s was touched",
            dir.display()
        );
    }
    Ok(archive)
}

/// Recording waits for no file: with one that can't be read, only what the configuration names crosses unasked.
fn replication(config: &SiteConfig, archive: &Archive) -> Replication {
    Replication::open(config, archive.dir()).unwrap_or_else(|error| {
        tracing::error!(%error, "recordings of cameras that are not configured stay here unless asked for");
        Replication::careful(config, archive.streams().into_iter().map(|(_, stream)| stream))
    })
}

async fn say_goodbye(beats: &Beats, restart: bool) {
    if restart {
        beats.goodbye(ByeReason::Restart, RESTART).await;
    } else if beats.goodbye(ByeReason::Shutdown, Duration::ZERO).await {
        beats.until_taken_over().await;
    }
}

fn identity(config: &SiteConfig) -> anyhow::Result<Identity> {
    let files = &config.identity;
    let identity = Identity::load(&files.ca, &files.certificate, &files.key)?;
    let site = identity.site().context("identity.certificate")?;
    anyhow::ensure!(
        *site == config.site.id,
        "site.id is `{}`, the certificate {} says `{site}`: use the certificate made for this site",
        config.site.id,
        files.certificate.display()
    );
    if let Err(error) = identity.check(wire::clock::wall()) {
        // A site whose clock is wrong must still record; the hub decides whom it lets in.
        tracing::warn!(%error, "the hub may refuse this certificate");
    }
    Ok(identity)
}

/// What the hub asked to be kept. Without a hub it is what one asked once, until that ends.
fn hub_holds(config: &SiteConfig, dir: &Path, obeyed: &Arc<retention::Holds>) -> Arc<Kept> {
    let hub = config.hub.as_ref().map(|hub| hub.address.to_string()).unwrap_or_default();
    Arc::new(Kept::load(dir, &config.site.id, &hub, obeyed.clone()))
}

/// What hub nodes are told of the cameras. Recording doesn't wait for it.
fn with_configuration(beats: Beats, config: &SiteConfig) -> Beats {
    match uplink::numbered(config, &config.archive.dir, wire::clock::wall()) {
        Ok(configuration) => beats.with_configuration(config.site.id.clone(), configuration),
        Err(error) => {
            tracing::error!(%error, "number the configuration: no standby is told of changes");
            beats
        }
    }
}
