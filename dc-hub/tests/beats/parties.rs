//! A hub node and a site as their daemons put them together, with certificates made on the spot, over loopback.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dc_hub::asked::Asked;
use dc_hub::beats::{Heard, HeardReceiver, Intake, Stands, queue};
use dc_hub::config::Limits;
use dc_hub::downlink::{Downlink, Fetches, Sites, Turns};
use dc_hub::policies::SitePolicies;
use dc_hub::standby::{AcceptedConfigs, Facts as CameraFacts};
use dc_hub::vault::Vault;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use site_agent::archive::Archive;
use site_agent::beats::{Beats, Facts};
use site_agent::config::load_site_with;
use site_agent::replication::Replication;
use site_agent::retention::Writer;
use site_agent::serve::NoTails;
use site_agent::uplink::{self, Uplink, UplinkStatus};
use site_agent::virtual_server::VirtualServer;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::transport::{Identity, QuicHandle, Settings, TcpHub, hub_dns_names, hub_endpoint, site_dns_name};
use wire::{OriginId, SiteId, proto};

/// What anything that is awaited may take: far more than it needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Signs certificates, in a folder that everything else is in too.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: tempfile::TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn identity(&self, name: &str, names: Vec<String>) -> Identity {
        use std::os::unix::fs::OpenOptionsExt;
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        let (cert_file, key_file) =
            (self.path(&format!("{name}.pem")), self.path(&format!("{name}-key.pem")));
        std::fs::write(&cert_file, cert.pem()).unwrap();
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&key_file).unwrap();
        std::io::Write::write_all(&mut file, key.serialize_pem().as_bytes()).unwrap();
        Identity::load(&self.path("ca.pem"), &cert_file, &key_file).unwrap()
    }
}

/// A hub node that runs.
pub(crate) struct Hub {
    pub(crate) address: SocketAddr,
    pub(crate) heard: HeardReceiver,
    pub(crate) sites: Arc<Sites>,
    /// What sites told of their cameras.
    pub(crate) accepted: Arc<AcceptedConfigs>,
    /// What of that this node would tell the control log.
    pub(crate) facts: mpsc::Receiver<CameraFacts>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Hub {
    pub(crate) fn start(
        authority: &Authority,
        node: &str,
        listen: SocketAddr,
        stands: Arc<dyn Stands>,
    ) -> Self {
        let identity = authority.identity(node, hub_dns_names(node).unwrap().into());
        let quic: QuicHandle = tokio::runtime::Handle::current().into();
        // What is free for UDP may be another's for TCP.
        let both = || {
            let endpoint = hub_endpoint(listen, &identity, &Settings::default(), &quic).unwrap();
            let tcp = TcpHub::bind(endpoint.local_addr().unwrap(), &identity).ok()?;
            Some((endpoint, tcp))
        };
        let (endpoint, tcp) = (0..20).find_map(|_| both()).expect("a port that is free for both");
        let address = endpoint.local_addr().unwrap();
        let (sender, heard) = queue(1000);
        let sites = Arc::new(Sites::default());
        let (accepted, facts) = AcceptedConfigs::open(
            &authority.path(&format!("{node}-cameras")),
            Vec::new(),
            identity.opening_key(),
        )
        .unwrap();
        let accepted = Arc::new(accepted);
        let dir = authority.path(&format!("{node}-vault"));
        let vault = Vault::open(&dir, 8 << 20).unwrap();
        let policies = SitePolicies::open(vault.archive().clone(), dir.join("replicate")).unwrap();
        let policies = Arc::new(policies);
        let asked = Asked::open(vault.archive().clone(), Arc::new(NoTails), policies.clone(), dir.clone());
        let downlink = Downlink {
            vault,
            live: Arc::default(),
            sites: sites.clone(),
            intake: Intake::new(sender, stands, sites.clone(), Some(accepted.clone())),
            node: node.to_owned(),
            limits: Limits { sites_max: 10, ledgers_per_site_max: 100, tail_bytes_per_site_max: 1 << 30 },
            turns: Turns::default(),
            fetches: Fetches::default(),
            hosts: Arc::default(),
            policies,
            scrubs: Arc::default(),
            asked: Arc::new(asked),
            quic,
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(downlink.run(endpoint, tcp, None, stop.clone()));
        Self { address, heard, sites, accepted, facts, stop, task }
    }

    /// Stops, and gives its address back.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
        // It may still know connections, which keep the socket; the rest is closed by tasks that end a moment later.
        drop(self.sites);
        let is_free = |address| {
            std::net::UdpSocket::bind(address).is_ok() && std::net::TcpListener::bind(address).is_ok()
        };
        until("its address is free", || is_free(self.address)).await;
    }

    /// Is a site's session here?
    pub(crate) fn has_session(&self) -> bool {
        self.sites.snapshot().values().any(|site| site.connected)
    }

    /// The next that is heard and of which something is made.
    pub(crate) async fn hear<T>(&mut self, mut of: impl FnMut(Heard) -> Option<T>) -> T {
        let next = async {
            loop {
                if let Some(found) = of(self.heard.recv().await) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("it is heard in time")
    }
}

/// A site's agent that runs, with one camera that nobody answers for.
pub(crate) struct Agent {
    pub(crate) origin: OriginId,
    pub(crate) beats: Arc<Beats>,
    hang_up: CancellationToken,
    uplink: JoinHandle<()>,
    server: VirtualServer,
}

impl Agent {
    pub(crate) async fn start(authority: &Authority, site: &str, hub: SocketAddr) -> Self {
        let site_id = SiteId::new(site).unwrap();
        let identity = authority.identity(site, vec![site_dns_name(&site_id)]);
        let file = authority.path(&format!("{site}.toml"));
        let text = format!(
            "[site]\nid = \"{site}\"\n[hub]\naddress = \"{hub}\"\nbeat_ms = 200\n\
             [identity]\ncertificate = \"{site}.pem\"\nkey = \"{site}-key.pem\"\n\
             [archive]\ndir = \"{site}-archive\"\n\
             [[camera]]\nid = \"till-1\"\n[[camera.stream]]\nname = \"main\"\nurl = \"rtsp://127.0.0.1:9/\"\n"
        );
        std::fs::write(&file, text).unwrap();
        let config = Arc::new(load_site_with(&file, std::iter::empty()).unwrap().0);
        let archive = Archive::open(&config.archive.dir).unwrap();
        let live = Arc::default();
        let server = VirtualServer::start(&config, archive.clone(), Arc::clone(&live)).await.unwrap();
        let status = Arc::new(UplinkStatus::default());
        let facts = Facts::new(&config, server.origin(), server.statuses(), status.clone());
        let hub = config.hub.as_ref().unwrap();
        let voters = archive.dir().join("hub-voters");
        let beats = Beats::new(facts, hub.beat, config.uplink.paths.clone(), hub.address.clone(), voters);
        let configuration = uplink::numbered(&config, archive.dir(), wire::clock::wall()).unwrap();
        let beats = Arc::new(beats.with_configuration(config.site.id.clone(), configuration));
        let uplink = Uplink {
            replication: Arc::new(Replication::fixed(&config)),
            config: config.clone(),
            identity,
            quic: tokio::runtime::Handle::current().into(),
            archive,
            live,
            beats: beats.clone(),
            writer: Writer::Run(server.origin()),
            scrub: Arc::default(),
            status,
            hosted: Vec::new(),
        };
        let hang_up = CancellationToken::new();
        let origin = server.origin();
        Self { origin, beats, uplink: tokio::spawn(uplink.run(hang_up.clone())), hang_up, server }
    }

    pub(crate) async fn stop(self) {
        self.hang_up.cancel();
        self.uplink.await.unwrap();
        self.server.stop().await;
    }
}

/// What a hub of several nodes tells sites.
pub(crate) struct Told(watch::Sender<proto::Standing>, watch::Sender<u64>);

impl Told {
    pub(crate) fn new(standing: proto::Standing) -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(standing), watch::Sender::new(0)))
    }

    /// From now on.
    pub(crate) fn change(&self, change: impl FnOnce(&mut proto::Standing)) {
        self.0.send_modify(|standing| {
            standing.revision += 1;
            change(standing);
        });
        self.1.send_modify(|changes| *changes += 1);
    }
}

impl Stands for Told {
    fn is_revoked(&self, _: &SiteId) -> bool {
        false
    }

    fn standing(&self, _: &SiteId) -> proto::Standing {
        self.0.borrow().clone()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.1.subscribe()
    }
}

/// A voter at an address.
pub(crate) fn voter(node: &str, id: u64, address: SocketAddr) -> proto::Voter {
    proto::Voter { node: node.to_owned(), id, addresses: vec![address.to_string()] }
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

/// An address of this machine that the kernel chooses.
pub(crate) fn anywhere() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}
