//! Finding the hub: from what the configuration says to the addresses to dial, in order.
//!
//! `address` reads the configuration's text, `srv` orders what DNS answers, `last_good` keeps the last
//! answer for when DNS is gone.
//!
//! Guarantees: an answer or an error within [`RESOLVE_LIMIT`]; at most [`ADDRESSES_MAX`] addresses; whoever
//! asks is told whether an answer is fresh. A wrong answer can cost time and nothing else, because a site
//! talks only to a hub of its own authority.
//!
//! It never dials, and never knows which of its addresses works.

mod address;
mod last_good;
mod srv;

#[cfg(test)]
mod tests;

pub use address::{AddressError, HubAddress};

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
    ServerOrderingStrategy,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::{Resolver, ResolverBuilder, TokioResolver};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::time::UnixMicros;
use last_good::LastGood;
use srv::{SrvTarget, dial_order};

/// The most one [`Discovery::resolve`] takes: a site that waits for DNS could be dialling the last good
/// address. SRV records are one step, their targets, side by side, another.
pub const RESOLVE_LIMIT: Duration = Duration::from_secs(2 * STEP_LIMIT_S);

/// The most one step takes: two tries of [`QUERY_TIMEOUT`], and something for a third name server.
const STEP_LIMIT_S: u64 = 5;

/// Addresses handed out at most. Hubs have a handful of nodes; more is a mistake or an attack.
pub const ADDRESSES_MAX: usize = 16;

/// How long one query waits for its answer.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// How often a query that nobody answered is sent again: two tries in all.
const QUERY_RETRIES: usize = 1;

/// Who is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DnsConfig {
    /// Whom the machine asks: `/etc/resolv.conf` and `/etc/hosts`, read anew each time, since DHCP changes
    /// them.
    #[default]
    System,
    /// These servers, and no hosts file.
    Servers(Vec<SocketAddr>),
}

/// Where addresses come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// DNS said so now, or the address was written out.
    Live,
    /// DNS gave no usable answer; these are from an earlier one.
    LastGood {
        /// Since that answer, by the wall clock.
        age: Duration,
        /// What is wrong with DNS.
        why: String,
    },
}

/// Where the hub is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// To be dialled in this order; never empty.
    pub addresses: Vec<SocketAddr>,
    /// How good they are.
    pub from: Source,
}

/// Why there is no address at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoverError {
    /// DNS gave no usable answer, and there is no earlier one.
    #[error(
        "hub `{address}` not found: {why}. No earlier answer is known either: check DNS, or configure the \
         hub's address as `host:port`"
    )]
    NotFound {
        /// What was looked for.
        address: HubAddress,
        /// What is wrong with DNS.
        why: String,
    },
}

/// The file that outlives a restart, and what is in it.
#[derive(Debug)]
struct Cache {
    path: PathBuf,
    written: Option<LastGood>,
}

/// Resolves one hub address again and again.
#[derive(Debug)]
pub struct Discovery {
    address: HubAddress,
    dns: DnsConfig,
    cache: Option<Cache>,
    last_good: Option<LastGood>,
    rng: StdRng,
}

impl Discovery {
    /// Looks for `address`. `seed` decides among SRV records of equal priority: each site needs its own
    /// ([`crate::clock::seed`]), or all would choose the same node.
    pub fn new(address: HubAddress, dns: DnsConfig, seed: u64) -> Self {
        Self { address, dns, cache: None, last_good: None, rng: StdRng::seed_from_u64(seed) }
    }

    /// Keeps the last good answer in a file too, for a site that restarts while DNS is gone. A file that
    /// can't be read or is for another address counts as none.
    pub fn with_cache(mut self, path: PathBuf) -> Self {
        let written = last_good::load(&path, &self.address);
        self.last_good = written.clone().or(self.last_good);
        self.cache = Some(Cache { path, written });
        self
    }

    /// What is looked for.
    pub fn address(&self) -> &HubAddress {
        &self.address
    }

    /// Where the hub is now, or where it was when DNS last said. `now` is the wall clock's.
    pub async fn resolve(&mut self, now: UnixMicros) -> Result<Resolved, DiscoverError> {
        if let Some(written_out) = self.address.literal() {
            return Ok(Resolved { addresses: vec![written_out], from: Source::Live });
        }
        match self.ask().await {
            Ok(addresses) => {
                self.keep(&addresses, now);
                Ok(Resolved { addresses, from: Source::Live })
            }
            Err(why) => match &self.last_good {
                Some(last) => Ok(Resolved {
                    addresses: last.addresses.clone(),
                    from: Source::LastGood { age: now.since(last.at), why },
                }),
                None => Err(DiscoverError::NotFound { address: self.address.clone(), why }),
            },
        }
    }

    fn keep(&mut self, addresses: &[SocketAddr], now: UnixMicros) {
        let fresh = LastGood { at: now, addresses: addresses.to_vec() };
        if let Some(cache) = &mut self.cache
            && cache.written.as_ref().is_none_or(|written| fresh.is_worth_a_write(written))
        {
            match last_good::save(&cache.path, &self.address, &fresh) {
                Ok(()) => cache.written = Some(fresh.clone()),
                // The answer in memory still serves; only a restart without DNS would miss the file.
                Err(error) => {
                    tracing::warn!(path = %cache.path.display(), %error, "couldn't keep the hub's addresses");
                }
            }
        }
        self.last_good = Some(fresh);
    }

    async fn ask(&mut self) -> Result<Vec<SocketAddr>, String> {
        let resolver = resolver(&self.dns)?;
        let mut addresses = Vec::new();
        match &self.address {
            HubAddress::Fixed { host, port } => {
                let ips = look_up(&resolver, host).await?;
                addresses.extend(ips.into_iter().map(|ip| SocketAddr::new(ip, *port)));
            }
            HubAddress::Srv(name) => {
                let records = look_up_srv(&resolver, name).await?;
                let targets = dial_order(records, &mut self.rng);
                for (target, ips) in look_up_all(&resolver, targets).await? {
                    addresses.extend(ips.into_iter().map(|ip| SocketAddr::new(ip, target.port)));
                }
            }
        }
        let mut seen = Vec::new();
        addresses.retain(|address| {
            let new = !seen.contains(address);
            seen.push(*address);
            new
        });
        addresses.truncate(ADDRESSES_MAX);
        Ok(addresses)
    }
}

/// A new resolver each time: it has no cache that could outlive a change, and reads the machine's
/// configuration as it is now. Resolving happens once per redial, so the cost is nothing.
fn resolver(dns: &DnsConfig) -> Result<TokioResolver, String> {
    let mut builder: ResolverBuilder<TokioRuntimeProvider> = match dns {
        DnsConfig::System => Resolver::builder_tokio()
            .map_err(|error| format!("the machine's DNS configuration is of no use: {error}"))?,
        DnsConfig::Servers(servers) => {
            let servers = servers.iter().map(name_server).collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
            builder.options_mut().use_hosts_file = ResolveHosts::Never;
            builder
        }
    };
    let options = builder.options_mut();
    options.timeout = QUERY_TIMEOUT;
    options.attempts = QUERY_RETRIES;
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    // IPv4 first: an IPv6 route that leads nowhere is more common at a shop than the reverse.
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build().map_err(|error| format!("the resolver can't be made: {error}"))
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

async fn look_up(resolver: &TokioResolver, host: &str) -> Result<Vec<IpAddr>, String> {
    let found = in_time(host, resolver.lookup_ip(absolute(host))).await?;
    let ips: Vec<_> = found.iter().collect();
    if ips.is_empty() { Err(format!("{host} has no address")) } else { Ok(ips) }
}

async fn look_up_srv(resolver: &TokioResolver, name: &str) -> Result<Vec<SrvTarget>, String> {
    let found = in_time(name, resolver.srv_lookup(absolute(name))).await?;
    let records = found.answers().iter().filter_map(|record| match &record.data {
        // A target of "." says that the service isn't offered (RFC 2782).
        RData::SRV(srv) if !srv.target.is_root() && srv.port != 0 => Some(SrvTarget {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            host: srv.target.to_ascii(),
        }),
        _ => None,
    });
    let records: Vec<_> = records.collect();
    if records.is_empty() { Err(format!("{name} names no hub")) } else { Ok(records) }
}

/// All targets' addresses, in the order of the targets. Targets without any are left out, and it is an
/// error only if that leaves none.
async fn look_up_all(
    resolver: &TokioResolver,
    targets: Vec<SrvTarget>,
) -> Result<Vec<(SrvTarget, Vec<IpAddr>)>, String> {
    let mut tasks = tokio::task::JoinSet::new();
    for (place, target) in targets.iter().enumerate().take(ADDRESSES_MAX) {
        let (resolver, host) = (resolver.clone(), target.host.clone());
        tasks.spawn(async move { (place, look_up(&resolver, &host).await) });
    }
    let (mut found, mut why) = (HashMap::new(), Vec::new());
    while let Some(done) = tasks.join_next().await {
        match done {
            Ok((place, Ok(ips))) => drop(found.insert(place, ips)),
            Ok((_, Err(error))) => why.push(error),
            Err(error) => why.push(error.to_string()),
        }
    }
    if found.is_empty() {
        return Err(why.join("; "));
    }
    if !why.is_empty() {
        tracing::debug!(why = why.join("; "), "some hub nodes have no address");
    }
    let places = targets.into_iter().enumerate();
    Ok(places.filter_map(|(place, target)| Some((target, found.remove(&place)?))).collect())
}

/// One step's answer, or what is wrong with `name`.
async fn in_time<T>(name: &str, step: impl Future<Output = Result<T, NetError>>) -> Result<T, String> {
    match tokio::time::timeout(Duration::from_secs(STEP_LIMIT_S), step).await {
        Ok(answer) => answer.map_err(|error| format!("{name}: {error}")),
        Err(_) => Err(format!("{name}: no answer within {STEP_LIMIT_S} s")),
    }
}

/// A name with a dot in it is whole: the machine's search domains are not tried on it. A bare `hub` may be
/// in one of them.
fn absolute(name: &str) -> String {
    if name.contains('.') && !name.ends_with('.') { format!("{name}.") } else { name.to_owned() }
}
