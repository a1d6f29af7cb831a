//! `holdfast-bench fleet`: what the beats of many sites cost one hub node.
//!
//! A real `dc-hub`, and sites that do what an agent does when it records and has nothing new to send: a session
//! over QUIC with its beats, and TLS beside it. Each site has its certificate, its sockets and its place in the
//! control log. Their cameras are not recorded, and no standby asks for them.

pub(crate) mod bare;
mod counts;
mod site;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use ops::client::Client;
use ops::init::{self, HubPlan, Plan, SitePlan};
use ops::rig::{Process, programs, wait_until};
use serde_json::json;
use wire::SiteId;
use wire::transport::QuicThreads;

use crate::cpu::{Snapshot, Usage};
use counts::{Counts, Taken};
use site::{Hub, Site};

const START: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(10);
/// From the last connection until everybody is settled.
const SETTLED: Duration = Duration::from_secs(10);
/// What registering everybody may take, beyond the time to connect them.
const REGISTERED_MAX: Duration = Duration::from_secs(120);

const CORES_MAX: f64 = 0.25;
const RESIDENT_MB_MAX: u64 = 300;

/// Arguments of `holdfast-bench fleet`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Sites
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    sites: u32,
    /// Cameras of each, of which its beats tell
    #[arg(long, default_value_t = 4)]
    cameras: usize,
    /// Between two beats of a site
    #[arg(long, default_value_t = 500)]
    beat_ms: u64,
    /// How many connect in a second
    #[arg(long, default_value_t = 50)]
    per_second: u32,
    /// Seconds that are measured
    #[arg(long = "for", default_value_t = 60)]
    for_s: u64,
    /// Instead of a hub, QUIC with nothing behind it: what no hub can be below
    #[arg(long, value_name = "ANSWER")]
    bare: Option<bare::Answer>,
    /// The last line of the output is one JSON object
    #[arg(long)]
    json: bool,
}

/// Measures; true if what is promised holds.
pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    ensure!(args.per_second > 0 && args.beat_ms > 0, "--per-second and --beat-ms are at least 1");
    let dir = tempfile::Builder::new().prefix("holdfast-fleet-").tempdir().context("make a folder")?;
    eprintln!("making {} certificates", args.sites);
    let lab = Lab::make(dir.path(), args)?;
    let measured = lab.measure(args)?;
    Ok(measured.conclude(args))
}

/// An installed hub, and the sites' identities.
struct Lab {
    hub_config: PathBuf,
    hub_log: PathBuf,
    http: String,
    vault: PathBuf,
    address: SocketAddr,
    /// Where each site's certificate is.
    sites: Vec<(SiteId, PathBuf)>,
}

/// What was seen.
struct Measured {
    hub: Usage,
    resident_mb: u64,
    resident_mb_max: u64,
    taken: Taken,
}

impl Lab {
    fn make(dir: &Path, args: &Args) -> anyhow::Result<Self> {
        let address = free_address()?;
        let (http, vault) = (format!("127.0.0.1:{}", free_address()?.port()), dir.join("vault"));
        let mut plan = Plan::new(dir.join("installation"));
        plan.hub = Some(HubPlan {
            listen: Some(address.to_string()),
            http_listen: Some(http.clone()),
            vault_dir: Some(vault.display().to_string()),
            control_dir: Some(dir.join("control").display().to_string()),
            ..HubPlan::new("hub-1")
        });
        for number in 1..=args.sites {
            plan.sites.push(SitePlan::new(SiteId::new(format!("site-{number:05}"))?));
        }
        let made = init::init(&plan)?;
        let folder = |config: &PathBuf| config.parent().map(Path::to_owned).context("a site has a folder");
        let sites = made.sites.iter().map(|(site, config)| Ok((site.clone(), folder(config)?)));
        Ok(Self {
            hub_config: made.hub.context("the plan has a hub")?,
            hub_log: dir.join("hub.log"),
            http,
            vault,
            address,
            sites: sites.collect::<anyhow::Result<_>>()?,
        })
    }

    fn measure(&self, args: &Args) -> anyhow::Result<Measured> {
        let mut hub = Process::start("dc-hub", &self.command(args)?, None, &self.hub_log)?;
        hub.await_line("listening", START)?;
        let before = resident_mb(hub.id())?;
        eprintln!("the hub uses {} MB with nobody there; connecting {} sites", before.0, args.sites);
        let quic = QuicThreads::start(1).context("start threads")?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let counts = Arc::new(Counts::default());
        let to = Arc::new(Hub {
            address: self.address,
            quic: quic.handle(),
            counts: counts.clone(),
            bare: args.bare.is_some(),
        });
        let fleet = runtime.spawn(connect_all(self.sites.clone(), to, args.clone()));
        let connecting = Duration::from_secs((args.sites / args.per_second).into());
        wait_until("every site is in the control log", connecting + REGISTERED_MAX, || {
            ensure!(!fleet.is_finished(), "the sites have ended");
            let known =
                || Ok::<_, anyhow::Error>(args.bare.is_some() || self.known()? == args.sites as usize);
            Ok(counts.sites() == args.sites as usize && known()?)
        })?;
        eprintln!("everybody is there; measuring for {} s", args.for_s);
        std::thread::sleep(SETTLED);
        counts.take();
        let (began, used) = (wire::clock::now(), Snapshot::take(hub.id()));
        std::thread::sleep(Duration::from_secs(args.for_s));
        let usage = Snapshot::take(hub.id()).since(&used, began.elapsed());
        let (resident_mb, resident_mb_max) = resident_mb(hub.id())?;
        let taken = counts.take();
        fleet.abort();
        runtime.shutdown_background();
        hub.stop()?;
        Ok(Measured { hub: usage, resident_mb, resident_mb_max, taken })
    }

    /// How the hub is started, or what stands in for it.
    fn command(&self, args: &Args) -> anyhow::Result<Vec<String>> {
        if let Some(answer) = args.bare {
            let own = std::env::current_exe().context("find this program")?;
            let folder = self.hub_config.parent().context("the hub has a folder")?;
            let words =
                [&own.display().to_string(), "fleet-bare", &folder.display().to_string()].map(String::from);
            return Ok(words
                .into_iter()
                .chain([self.address.to_string(), answer.name().to_owned()])
                .collect());
        }
        let mut command = vec!["env".to_owned(), format!("HOLDFAST__LIMITS__SITES_MAX={}", args.sites)];
        command.extend(programs::daemon("dc-hub", &self.hub_config)?);
        Ok(command)
    }

    /// Sites of which the control log knows everything.
    fn known(&self) -> anyhow::Result<usize> {
        let token = self.vault.join("http-token");
        let control = Client::open(&format!("http://{}", self.http), &token, SILENCE)?.get("/control")?;
        let sites = control["sites"].as_object().context("the control log's sites")?;
        Ok(sites.values().filter(|site| site["vault"].is_number()).count())
    }
}

/// Connects one site after the other, and keeps them all.
async fn connect_all(sites: Vec<(SiteId, PathBuf)>, hub: Arc<Hub>, args: Args) -> anyhow::Result<()> {
    let mut pace = tokio::time::interval(Duration::from_secs(1) / args.per_second);
    let mut running = tokio::task::JoinSet::new();
    for (id, folder) in sites {
        pace.tick().await;
        let beat = Duration::from_millis(args.beat_ms);
        let site = Site::new(id, &folder, args.cameras, beat)?;
        let hub = hub.clone();
        running.spawn(async move { site.run(&hub).await });
    }
    while let Some(ended) = running.join_next().await {
        hub.counts.lost();
        eprintln!("a site was lost: {:#}", ended?.err().unwrap_or_else(|| anyhow::anyhow!("it ended")));
    }
    Ok(())
}

impl Measured {
    fn conclude(&self, args: &Args) -> bool {
        let mut problems = Vec::new();
        if self.hub.cores >= CORES_MAX {
            problems.push(format!("the hub used {:.2} cores, and {CORES_MAX} may be", self.hub.cores));
        }
        if self.resident_mb_max >= RESIDENT_MB_MAX {
            let most = self.resident_mb_max;
            problems.push(format!("the hub used {most} MB, and {RESIDENT_MB_MAX} may be"));
        }
        let due = f64::from(args.sites) * args.for_s as f64 * 1000.0 / args.beat_ms as f64;
        let share = self.taken.acked as f64 / due;
        let answered = args.bare != Some(bare::Answer::Nothing);
        if (answered && share < 0.98) || self.taken.lost > 0 {
            problems.push(format!("{:.1} % of beats acked, {} sites lost", 100.0 * share, self.taken.lost));
        }
        eprintln!(
            "the hub: {:.3} cores, {} MB ({} at most)",
            self.hub.cores, self.resident_mb, self.resident_mb_max
        );
        for (thread, cores) in &self.hub.threads {
            eprintln!("  {thread}: {cores:.3}");
        }
        eprintln!(
            "{} of {due:.0} beats acked, after {:.1} ms (p50), {:.1} ms (p99)",
            self.taken.acked, self.taken.ack_ms_p50, self.taken.ack_ms_p99
        );
        problems.iter().for_each(|problem| eprintln!("{problem}"));
        if args.json {
            let line = json!({
                "sites": args.sites, "cameras": args.cameras, "beat_ms": args.beat_ms, "for_s": args.for_s,
                "cpu_percent": 100.0 * self.hub.cores, "rss_mb": self.resident_mb_max,
                "beats_per_s": self.taken.acked as f64 / args.for_s as f64, "threads": self.hub.threads,
                "beats_due": due, "beats_acked": self.taken.acked, "sites_lost": self.taken.lost,
                "ack_ms_p50": self.taken.ack_ms_p50, "ack_ms_p99": self.taken.ack_ms_p99,
                "ok": problems.is_empty(),
            });
            println!("{line}");
        }
        problems.is_empty()
    }
}

/// What a process has in memory now, and had at most.
fn resident_mb(process: u32) -> anyhow::Result<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).context("read of the hub")?;
    let figure = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kb =
            line.and_then(|line| line.split_whitespace().nth(1)).and_then(|word| word.parse::<u64>().ok());
        kb.map(|kb| kb / 1024).with_context(|| format!("{name} of the hub"))
    };
    Ok((figure("VmRSS")?, figure("VmHWM")?))
}

/// A port that is free now for TCP and UDP.
fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    let address = listener.local_addr().context("find a free port")?;
    UdpSocket::bind(address).context("find a free port")?;
    Ok(address)
}
