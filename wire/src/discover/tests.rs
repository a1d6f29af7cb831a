//! Discovery against a real DNS server, Debian's dnsmasq.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::clock;

const SRV: &str = "_holdfast._udp.example.test";

/// A dnsmasq with some records, stopped when dropped.
struct Dns {
    child: Child,
    address: SocketAddr,
}

impl Dns {
    /// Starts one and waits until it answers. `port` 0 takes a free one.
    async fn start(port: u16, records: &[&str]) -> Self {
        let program = ["/usr/sbin/dnsmasq", "/usr/bin/dnsmasq", "/usr/local/sbin/dnsmasq"];
        let program = program.into_iter().find(|path| Path::new(path).exists());
        let program = program.expect("dnsmasq is not installed: run ops/setup.sh");
        let port = if port == 0 { free_port() } else { port };
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        let child = Command::new(program)
            .args(["--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file="])
            .args(["--listen-address=127.0.0.1", "--bind-interfaces", "--local=/example.test/"])
            .arg(format!("--port={port}"))
            .args(["--host-record=ready.example.test,127.0.0.9"])
            .args(records)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let dns = Self { child, address };
        for _ in 0..50 {
            if dns.discovery("ready.example.test:1").resolve(clock::wall()).await.is_ok() {
                return dns;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("dnsmasq did not answer on {address}");
    }

    fn discovery(&self, address: &str) -> Discovery {
        Discovery::new(address.parse().unwrap(), DnsConfig::Servers(vec![self.address]), 1)
    }

    fn stop(mut self) -> u16 {
        self.kill();
        self.address.port()
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port free for UDP and TCP, of which dnsmasq wants both.
fn free_port() -> u16 {
    loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = udp.local_addr().unwrap().port();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

fn addresses(list: &[&str]) -> Vec<SocketAddr> {
    list.iter().map(|text| text.parse().unwrap()).collect()
}

fn live(list: &[&str]) -> Resolved {
    Resolved { addresses: addresses(list), from: Source::Live }
}

#[tokio::test]
async fn what_is_written_out_needs_no_dns() {
    let nobody = DnsConfig::Servers(Vec::new());
    let mut discovery = Discovery::new("[::1]:7443".parse().unwrap(), nobody, 1);
    assert_eq!(discovery.resolve(clock::wall()).await, Ok(live(&["[::1]:7443"])));
}

#[tokio::test]
async fn a_host_name_gives_all_its_addresses() {
    let dns = Dns::start(0, &["--host-record=hub.example.test,127.0.0.1,::1"]).await;
    let found = dns.discovery("hub.example.test:7443").resolve(clock::wall()).await;
    assert_eq!(found, Ok(live(&["127.0.0.1:7443", "[::1]:7443"])));
}

#[tokio::test]
async fn localhost_is_found_by_the_machines_own_means() {
    let mut discovery = Discovery::new("localhost:7443".parse().unwrap(), DnsConfig::System, 1);
    let found = discovery.resolve(clock::wall()).await.unwrap();
    assert!(found.addresses.contains(&"127.0.0.1:7443".parse().unwrap()), "{found:?}");
}

#[tokio::test]
async fn srv_targets_come_by_priority_and_those_without_address_are_left_out() {
    let records = [
        &format!("--srv-host={SRV},hub3.example.test,7003,30,5"),
        &format!("--srv-host={SRV},hub1.example.test,7001,10,5"),
        &format!("--srv-host={SRV},gone.example.test,7004,15,5"),
        &format!("--srv-host={SRV},hub2.example.test,7002,20,5"),
        "--host-record=hub1.example.test,127.0.0.1",
        "--host-record=hub2.example.test,127.0.0.2,::1",
        "--host-record=hub3.example.test,127.0.0.3",
    ];
    let dns = Dns::start(0, &records).await;
    let found = dns.discovery(SRV).resolve(clock::wall()).await;
    assert_eq!(found, Ok(live(&["127.0.0.1:7001", "127.0.0.2:7002", "[::1]:7002", "127.0.0.3:7003"])));
}

#[tokio::test]
async fn without_dns_the_last_good_answer_serves_and_a_new_one_replaces_it() {
    let srv = format!("--srv-host={SRV},hub1.example.test,7443,10,5");
    let dns = Dns::start(0, &[&srv, "--host-record=hub1.example.test,127.0.0.1"]).await;
    let mut discovery = dns.discovery(SRV);
    let asked_at = clock::wall();
    assert_eq!(discovery.resolve(asked_at).await, Ok(live(&["127.0.0.1:7443"])));

    let port = dns.stop();
    let began = clock::now();
    let kept = discovery.resolve(asked_at + Duration::from_secs(60)).await.unwrap();
    assert!(began.elapsed() < RESOLVE_LIMIT, "{:?}", began.elapsed());
    assert_eq!(kept.addresses, addresses(&["127.0.0.1:7443"]));
    let Source::LastGood { age, why } = &kept.from else { panic!("{kept:?}") };
    assert_eq!(*age, Duration::from_secs(60));
    assert!(why.contains(SRV), "{why}");

    let srv = format!("--srv-host={SRV},hub1.example.test,7444,10,5");
    let _dns = Dns::start(port, &[&srv, "--host-record=hub1.example.test,127.0.0.2"]).await;
    assert_eq!(discovery.resolve(clock::wall()).await, Ok(live(&["127.0.0.2:7444"])));
}

#[tokio::test]
async fn the_last_good_answer_survives_a_restart_and_a_withdrawn_record() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hub-addresses");
    let srv = format!("--srv-host={SRV},hub1.example.test,7443,10,5");
    let dns = Dns::start(0, &[&srv, "--host-record=hub1.example.test,127.0.0.1"]).await;
    let first = dns.discovery(SRV).with_cache(path.clone()).resolve(clock::wall()).await;
    assert_eq!(first, Ok(live(&["127.0.0.1:7443"])));

    let dns = Dns::start(dns.stop(), &[]).await;
    let kept = dns.discovery(SRV).with_cache(path).resolve(clock::wall()).await.unwrap();
    assert_eq!(kept.addresses, addresses(&["127.0.0.1:7443"]));
    assert!(matches!(kept.from, Source::LastGood { .. }), "{kept:?}");

    let nothing = dns.discovery(SRV).resolve(clock::wall()).await;
    assert!(matches!(nothing, Err(DiscoverError::NotFound { .. })), "{nothing:?}");
}

#[tokio::test]
async fn a_name_server_that_is_silent_costs_no_more_than_the_limit() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let dns = DnsConfig::Servers(vec![silent.local_addr().unwrap()]);
    let began = clock::now();
    let nothing = Discovery::new(SRV.parse().unwrap(), dns, 1).resolve(clock::wall()).await;
    assert!(nothing.is_err());
    assert!(began.elapsed() < RESOLVE_LIMIT, "{:?}", began.elapsed());
}
