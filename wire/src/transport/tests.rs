//! Real handshakes over loopback with certificates made on the spot, and the files they come in.

mod relay;
mod restart;
mod runtime;
mod silence;
mod tcp;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, ConnectionError, Endpoint};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls_pki_types::CertificateDer;

use super::*;
use crate::id::SiteId;
use crate::{clock, frame, proto};

const SOON: Duration = Duration::from_secs(5);

/// A certificate authority in a folder of its own.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: tempfile::TempDir,
}

/// What one party's certificate is to be like.
struct Wanted {
    names: Vec<String>,
    from_year: i32,
    to_year: i32,
    usages: Vec<ExtendedKeyUsagePurpose>,
}

fn for_names(names: impl IntoIterator<Item = impl Into<String>>) -> Wanted {
    Wanted {
        names: names.into_iter().map(Into::into).collect(),
        from_year: 2020,
        to_year: 2120,
        // Both, so that only the names tell sites and hubs apart.
        usages: vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth],
    }
}

fn for_site(site: &str) -> Wanted {
    for_names([site_dns_name(&SiteId::new(site).unwrap())])
}

fn for_hub(node: &str) -> Wanted {
    for_names(hub_dns_names(node).unwrap())
}

impl Authority {
    fn new() -> Self {
        Self::named("Holdfast authority")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("authority.pem"), issuer.pem()).unwrap();
        Self { issuer, dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Signs a certificate and writes `name.pem` and `name.key`.
    fn sign(&self, name: &str, wanted: Wanted) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(wanted.names).unwrap();
        params.not_before = date_time_ymd(wanted.from_year, 1, 1);
        params.not_after = date_time_ymd(wanted.to_year, 1, 1);
        params.extended_key_usages = wanted.usages;
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), cert.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
        cert.der().clone()
    }

    fn load(&self, name: &str) -> Result<Identity, IdentityError> {
        let (cert, key) = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        Identity::load(&self.path("authority.pem"), &cert, &key)
    }

    fn identity(&self, wanted: Wanted) -> Identity {
        self.sign("party", wanted);
        self.load("party").unwrap()
    }
}

/// QUIC on the test's own threads.
fn here() -> QuicHandle {
    tokio::runtime::Handle::current().into()
}

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn hub(authority: &Authority) -> (Endpoint, SocketAddr) {
    let identity = authority.identity(for_hub("node-1"));
    let hub = hub_endpoint(loopback(), &identity, &Settings::default(), &here()).unwrap();
    let address = hub.local_addr().unwrap();
    (hub, address)
}

fn site(identity: &Identity) -> Endpoint {
    site_endpoint(&Egress::default(), identity, &Settings::default(), &here()).unwrap()
}

/// What comes of one dial: the hub's end, and how the site's ended where it didn't stay up.
async fn meet(
    hub: &Endpoint,
    site: &Endpoint,
    address: SocketAddr,
) -> (Result<Connection, ConnectionError>, Option<String>) {
    let dial = async {
        match connect(site, address, SOON).await {
            Ok(connection) => match tokio::time::timeout(SOON, connection.closed()).await {
                Ok(ended) => Some(explain(&ended)),
                Err(_) => None,
            },
            Err(error) => Some(error.to_string()),
        }
    };
    let accept = async { hub.accept().await.unwrap().await };
    let (accepted, dialled) = tokio::join!(accept, dial);
    (accepted, dialled)
}

/// Both ends of a connection: the hub's and the site's.
async fn pair(hub: &Endpoint, site: &Endpoint, address: SocketAddr) -> (Connection, Connection) {
    let accept = async { hub.accept().await.unwrap().await.unwrap() };
    let (near, far) = tokio::join!(accept, connect(site, address, SOON));
    (near, far.unwrap())
}

/// A dial that the hub must refuse, and what the site is then told.
async fn refused(hub: &Endpoint, site: &Endpoint, address: SocketAddr) -> String {
    let (accepted, told) = meet(hub, site, address).await;
    assert!(accepted.is_err(), "the hub accepted");
    told.expect("the site was never told")
}

#[tokio::test]
async fn a_site_and_a_hub_know_each_other_and_talk() {
    let authority = Authority::new();
    let (hub, address) = hub(&authority);
    let site = site(&authority.identity(for_site("shop-7")));
    let serve = async {
        let connection = hub.accept().await.unwrap().await.unwrap();
        assert_eq!(peer_site(&connection), Ok(SiteId::new("shop-7").unwrap()));
        let (mut send, recv) = connection.accept_bi().await.unwrap();
        let mut reader = frame::Reader::new(recv, frame::CONTROL_BYTES_MAX);
        let hello: proto::Hello = reader.next().await.unwrap().unwrap();
        frame::write(&mut send, &proto::Welcome { site: hello.software, ..Default::default() })
            .await
            .unwrap();
        assert_eq!(reader.next::<proto::Hello>().await.unwrap(), None);
        connection.closed().await;
    };
    let dial = async {
        let connection = connect(&site, address, SOON).await.unwrap();
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        let hello = proto::Hello { software: "x".repeat(3_000_000), ..Default::default() };
        frame::write(&mut send, &hello).await.unwrap();
        send.finish().unwrap();
        let welcome: Option<proto::Welcome> = frame::read(&mut recv, frame::CONTROL_BYTES_MAX).await.unwrap();
        assert_eq!(welcome.unwrap().site.len(), 3_000_000);
        connection.close(0u32.into(), b"");
    };
    tokio::join!(serve, dial);
}

#[tokio::test]
async fn a_hub_on_every_address_is_reached_over_both_families() {
    let authority = Authority::new();
    let identity = authority.identity(for_hub("node-1"));
    let site = site(&authority.identity(for_site("shop-7")));
    let every = (Ipv6Addr::UNSPECIFIED, 0).into();
    let Ok(hub) = hub_endpoint(every, &identity, &Settings::default(), &here()) else {
        // A kernel without IPv6 has no dual stack to test.
        return;
    };
    let port = hub.local_addr().unwrap().port();
    for address in [SocketAddr::from((Ipv4Addr::LOCALHOST, port)), (Ipv6Addr::LOCALHOST, port).into()] {
        let accept = async { hub.accept().await.unwrap().await.unwrap() };
        let (_near, far) = tokio::join!(accept, connect(&site, address, SOON));
        assert!(far.is_ok(), "{address}: {far:?}");
    }
}

#[tokio::test]
async fn a_site_without_certificate_is_refused() {
    let authority = Authority::new();
    let (hub, address) = hub(&authority);
    let identity = authority.identity(for_site("shop-7"));
    let mut bare = rustls::ClientConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(identity.roots())
        .with_no_client_auth();
    bare.alpn_protocols = vec![ALPN.to_vec()];
    let mut site = site(&identity);
    let bare = quinn::crypto::rustls::QuicClientConfig::try_from(bare).unwrap();
    site.set_default_client_config(quinn::ClientConfig::new(Arc::new(bare)));
    let told = refused(&hub, &site, address).await;
    assert!(told.contains("we showed none"), "{told}");
}

#[tokio::test]
async fn a_site_of_another_authority_is_refused_by_both() {
    // Two authorities made by the same program may have the same name.
    for name in ["Holdfast authority", "Somebody else"] {
        let (authority, other) = (Authority::new(), Authority::named(name));
        let (hub, address) = hub(&authority);
        let told = refused(&hub, &site(&other.identity(for_site("shop-7"))), address).await;
        assert!(told.contains("we refused") && told.contains("one and the same authority"), "{told}");

        // A site that trusts our hub, but whose certificate somebody else signed.
        other.sign("stranger", for_site("shop-7"));
        std::fs::copy(authority.path("authority.pem"), other.path("authority.pem")).unwrap();
        let stranger = other.load("stranger").unwrap();
        let told = refused(&hub, &site(&stranger), address).await;
        assert!(told.contains("the other side refused us") && told.contains("the authority"), "{told}");
        let checked = stranger.check(clock::wall()).unwrap_err();
        assert!(matches!(checked, IdentityError::Untrusted { .. }), "{checked}");
    }
}

#[tokio::test]
async fn an_expired_certificate_is_refused_and_its_owner_can_find_out_before() {
    let authority = Authority::new();
    let (hub, address) = hub(&authority);
    let expired = authority.identity(Wanted { to_year: 2021, ..for_site("shop-7") });
    let told = refused(&hub, &site(&expired), address).await;
    assert!(told.contains("expired"), "{told}");
    let checked = expired.check(clock::wall()).unwrap_err();
    assert!(matches!(checked, IdentityError::Expired { .. }), "{checked}");
    assert!(checked.to_string().contains("days ago"), "{checked}");

    let early = authority.identity(Wanted { from_year: 2100, ..for_site("shop-7") });
    let told = refused(&hub, &site(&early), address).await;
    assert!(told.contains("not valid yet"), "{told}");
    let checked = early.check(clock::wall()).unwrap_err();
    assert!(matches!(checked, IdentityError::NotYetValid { .. }), "{checked}");
}

#[tokio::test]
async fn a_hub_certificate_opens_no_sites_connection_and_a_sites_no_hub() {
    let authority = Authority::new();
    let (node_1, address) = hub(&authority);
    let told = refused(&node_1, &site(&authority.identity(for_hub("node-2"))), address).await;
    assert!(told.contains("a hub wants a site's"), "{told}");

    // One authority signs everybody: a stolen recorder must not pass for the hub.
    let thief = authority.identity(for_site("shop-8"));
    let thief = hub_endpoint(loopback(), &thief, &Settings::default(), &here()).unwrap();
    let site = site(&authority.identity(for_site("shop-7")));
    let told = refused(&thief, &site, thief.local_addr().unwrap()).await;
    assert!(told.contains("we refused") && told.contains("name"), "{told}");
}

#[tokio::test]
async fn a_certificate_for_the_wrong_purpose_is_refused() {
    let authority = Authority::new();
    let (hub, address) = hub(&authority);
    let usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let wrong = authority.identity(Wanted { usages, ..for_site("shop-7") });
    let told = refused(&hub, &site(&wrong), address).await;
    assert!(told.contains("purpose"), "{told}");
    assert!(wrong.check(clock::wall()).is_err());
}

#[tokio::test]
async fn another_protocol_on_the_port_is_named() {
    let authority = Authority::new();
    let (hub, address) = hub(&authority);
    let identity = authority.identity(for_site("shop-7"));
    let mut other = rustls::ClientConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(identity.roots())
        .with_no_client_auth();
    other.alpn_protocols = vec![b"h3".to_vec()];
    let mut site = site(&identity);
    let other = quinn::crypto::rustls::QuicClientConfig::try_from(other).unwrap();
    site.set_default_client_config(quinn::ClientConfig::new(Arc::new(other)));
    let told = refused(&hub, &site, address).await;
    assert!(told.contains("doesn't speak Holdfast"), "{told}");
}

#[tokio::test]
async fn a_dial_into_nothing_ends_in_time_and_says_what_to_check() {
    let authority = Authority::new();
    let site = site(&authority.identity(for_site("shop-7")));
    let silent = std::net::UdpSocket::bind(loopback()).unwrap();
    let address = silent.local_addr().unwrap();
    let error = connect(&site, address, Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout { .. }), "{error}");
    assert!(error.to_string().contains(&format!("UDP port {}", address.port())), "{error}");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let authority = Authority::new();
    let taken = std::net::UdpSocket::bind(loopback()).unwrap();
    let identity = authority.identity(for_hub("node-1"));
    let error =
        hub_endpoint(taken.local_addr().unwrap(), &identity, &Settings::default(), &here()).unwrap_err();
    assert!(error.to_string().contains("is a second copy running?"), "{error}");
}

#[test]
fn certificates_speak_for_exactly_one_party() {
    let authority = Authority::new();
    let of = |names: &[&str]| site_of(&authority.sign("names", for_names(names.iter().copied())));
    assert_eq!(of(&["shop-7.site.holdfast.internal"]), SiteId::new("shop-7").map_err(|_| unreachable!()));
    // A name that is not ours says nothing.
    assert!(of(&["shop-7.site.holdfast.internal", "recorder.example.com"]).is_ok());

    assert!(matches!(of(&["recorder.example.com"]), Err(NamesError::NotOurs(_))));
    assert!(matches!(of(&[]), Err(NamesError::NotOurs(_))));
    assert!(matches!(of(&["site.holdfast.internal"]), Err(NamesError::NotOurs(_))));
    assert!(matches!(of(&["n.hub.holdfast.internal"]), Err(NamesError::NotOurs(_))));
    assert!(matches!(
        of(&["a.site.holdfast.internal", "b.site.holdfast.internal"]),
        Err(NamesError::Ambiguous(_))
    ));
    assert!(matches!(of(&["a.site.holdfast.internal", HUB_NAME]), Err(NamesError::Ambiguous(_))));
    assert!(matches!(
        of(&["a.site.holdfast.internal", "n.hub.holdfast.internal", HUB_NAME]),
        Err(NamesError::Ambiguous(_))
    ));
    assert_eq!(of(&["n.hub.holdfast.internal", HUB_NAME]), Err(NamesError::NotASite("n".to_owned())));
    for bad in ["*.site.holdfast.internal", "a.b.site.holdfast.internal", "A.site.holdfast.internal"] {
        assert!(matches!(of(&[bad]), Err(NamesError::NotASlug { .. })), "{bad}");
    }
    assert!(matches!(site_of(&CertificateDer::from(vec![1, 2, 3])), Err(NamesError::Unreadable(_))));
    assert!(hub_dns_names("No Slug").is_err());
}

#[test]
fn an_identity_knows_whose_it_is() {
    let authority = Authority::new();
    let site = authority.identity(for_site("shop-7"));
    assert_eq!(site.site().unwrap().as_str(), "shop-7");
    site.check(clock::wall()).unwrap();
    let hub = authority.identity(for_hub("node-1"));
    assert_eq!(hub.holder(), &Holder::Hub("node-1".to_owned()));
    assert!(matches!(hub.site(), Err(IdentityError::NotASite { .. })));
    hub.check(clock::wall()).unwrap();
}

#[test]
fn mistakes_in_files_name_the_file() {
    let authority = Authority::new();
    authority.sign("a", for_site("a"));
    authority.sign("b", for_site("b"));
    let path = |name| authority.path(name);
    let load =
        |roots, cert, key| Identity::load(&path(roots), &path(cert), &path(key)).unwrap_err().to_string();

    let mixed = Identity::load(&path("authority.pem"), &path("a.pem"), &path("b.key")).unwrap_err();
    assert!(matches!(mixed, IdentityError::KeyMismatch { .. }), "{mixed}");
    assert!(mixed.to_string().contains("b.key"), "{mixed}");

    let missing = load("authority.pem", "none.pem", "a.key");
    assert!(missing.contains("none.pem") && missing.contains("No such file"), "{missing}");
    let swapped = load("authority.pem", "a.key", "a.pem");
    assert!(swapped.contains("certificate") && swapped.contains("there is none in this file"), "{swapped}");
    let no_key = load("authority.pem", "a.pem", "a.pem");
    assert!(no_key.contains("read key") && no_key.contains("there is none in this file"), "{no_key}");
    std::fs::write(path("torn.pem"), "-----BEGIN CERTIFICATE-----\nMIIB").unwrap();
    let torn = load("torn.pem", "a.pem", "a.key");
    assert!(torn.contains("read authority") && torn.contains("torn.pem"), "{torn}");
    authority.sign("foreign", for_names(["recorder.example.com"]));
    let foreign = load("authority.pem", "foreign.pem", "foreign.key");
    assert!(foreign.contains("foreign.pem") && foreign.contains("recorder.example.com"), "{foreign}");
}

#[test]
fn an_identity_shows_no_key() {
    let authority = Authority::new();
    let identity = authority.identity(for_site("shop-7"));
    assert!(!format!("{identity:?}").to_lowercase().contains("key"));
}

#[tokio::test]
async fn hub_nodes_call_each_other_on_the_sites_port() {
    let authority = Authority::new();
    let (node_1, address) = hub(&authority);
    let both = |name: &str| {
        let identity = authority.identity(for_hub(name));
        let endpoint = hub_endpoint(loopback(), &identity, &Settings::default(), &here()).unwrap();
        (endpoint, hub_node_config(&identity, &Settings::default()).unwrap())
    };
    let (node_2, calling) = both("node-2");
    let accept = async { node_1.accept().await.unwrap().await.unwrap() };
    let dial = connect_node(&node_2, calling.clone(), ("node-1", address), SOON);
    let (near, far) = tokio::join!(accept, dial);
    let _far = far.unwrap();
    assert_eq!(peer_node(&near), Ok("node-2".to_owned()));
    assert!(peer_site(&near).is_err());

    // Where another node sits at the address, nobody is taken for it.
    let (_, wrong) = tokio::join!(
        async { node_1.accept().await.unwrap().await },
        connect_node(&node_2, calling, ("node-3", address), SOON)
    );
    assert!(wrong.unwrap_err().to_string().contains("name"));

    // A site that speaks the hubs' protocol is refused like a hub that speaks the sites'.
    let thief = authority.identity(for_site("shop-7"));
    let speaking = hub_node_config(&thief, &Settings::default()).unwrap();
    let endpoint = site(&thief);
    let dial = async {
        let connection = connect_node(&endpoint, speaking, ("node-1", address), SOON).await.unwrap();
        connection.closed().await
    };
    let (accepted, told) = tokio::join!(async { node_1.accept().await.unwrap().await }, dial);
    assert!(accepted.is_err() && explain(&told).contains("refused us"), "{told}");
}

#[tokio::test]
async fn a_host_is_a_node_or_a_sites_machine_and_says_so() {
    let authority = Authority::new();
    let (node_1, address) = hub(&authority);
    for (wanted, holder) in [
        (for_hub("node-2"), Holder::Hub("node-2".to_owned())),
        (for_site("shop-7"), Holder::Site(SiteId::new("shop-7").unwrap())),
    ] {
        let identity = authority.identity(wanted);
        let calling = host_config(&identity, &Settings::default()).unwrap();
        let endpoint = site(&identity);
        let accept = async { node_1.accept().await.unwrap().await.unwrap() };
        let dial = connect_node(&endpoint, calling, ("node-1", address), SOON);
        let (near, far) = tokio::join!(accept, dial);
        let _far = far.unwrap();
        assert!(calls_as_host(&near));
        assert_eq!(peer_holder(&near), Ok(holder));
    }
    let identity = authority.identity(for_site("shop-7"));
    let (near, _far) = pair(&node_1, &site(&identity), address).await;
    assert!(!calls_as_host(&near), "a site that calls as what it is");
}
