//! Holds classes of traffic to their limits, and knows what the line carries.
//!
//! Each class has a bucket of its own: a limit on backlog delays no live part.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use wire::congestion::{self, Metrics};

use super::limits::{Bucket, Capacity, allowed};
use super::line::Line;
use crate::config::Class;
use crate::replication::Replication;

/// A part passes in pieces of this: at 2 Mbit/s a quarter of a second, so that what shares the line is not held
/// up by a part's whole second.
const PIECE: usize = 64 << 10;

/// One connection's.
pub(super) struct Gate {
    connection: quinn::Connection,
    /// Of our own congestion controller, if it is in use.
    metrics: Option<Arc<Metrics>>,
    replication: Arc<Replication>,
    state: Mutex<State>,
}

struct State {
    live: Bucket,
    backlog: Bucket,
    fetch: Bucket,
    capacity: Capacity,
}

impl Gate {
    pub(super) fn new(connection: quinn::Connection, replication: Arc<Replication>) -> Self {
        let now = wire::clock::now();
        let [live, backlog, fetch] = [0; 3].map(|_| Bucket::new(now));
        let state = State { live, backlog, fetch, capacity: Capacity::default() };
        let metrics = congestion::metrics(&connection);
        Self { connection, metrics, replication, state: Mutex::new(state) }
    }

    /// Writes a message as fast as its class may.
    pub(super) async fn write(
        &self,
        stream: &mut quinn::SendStream,
        class: Class,
        message: &Bytes,
    ) -> Result<(), quinn::WriteError> {
        if !self.replication.now().limits.iter().any(|limit| limit.class == class) {
            return stream.write_all(message).await;
        }
        for piece in message.chunks(PIECE) {
            while let Err(wait) = self.take(class, piece.len()) {
                tokio::time::sleep(wait).await;
            }
            stream.write_all(piece).await?;
        }
        Ok(())
    }

    fn take(&self, class: Class, bytes: usize) -> Result<(), std::time::Duration> {
        let (mut state, now) = (self.lock(), wire::clock::now());
        let rate = self.rate(&mut state.capacity, class);
        let bucket = match class {
            Class::Live => &mut state.live,
            Class::Backlog => &mut state.backlog,
            Class::Fetch => &mut state.fetch,
        };
        let taken = bucket.take(now, rate, bytes);
        if taken.is_err() {
            state.capacity.held_down(now);
        }
        taken
    }

    /// What a class may send now, in bytes of parts a second.
    fn rate(&self, capacity: &mut Capacity, class: Class) -> Option<f64> {
        let rules = self.replication.now();
        let capacity = capacity.measured(wire::clock::now(), self.measured());
        allowed(&rules.limits, class, rules.local(wire::clock::wall()), capacity)
    }

    /// Bytes of UDP payload a second; zero if that is not known yet.
    fn measured(&self) -> f64 {
        match &self.metrics {
            Some(metrics) => metrics.get().rate,
            None => {
                let path = self.connection.stats().path;
                path.cwnd as f64 / path.rtt.as_secs_f64().max(1e-3)
            }
        }
    }

    /// How the line is, for whoever asks.
    pub(super) fn line(&self) -> Line {
        let [live, backlog] =
            [Class::Live, Class::Backlog].map(|class| self.rate(&mut self.lock().capacity, class));
        let estimate = self.metrics.as_ref().map(|metrics| metrics.get());
        Line::new(&self.connection.stats().path, self.measured(), estimate.as_ref(), live, backlog)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    use std::time::{Duration, Instant};

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use wire::SiteId;
    use wire::transport::{
        Egress, Identity, QuicHandle, Settings, connect, hub_dns_names, hub_endpoint, site_dns_name,
        site_endpoint,
    };

    use super::super::shared::priority;
    use super::*;
    use crate::config::{SiteConfig, load_site_with};

    /// What the test limits backlog to.
    const MBIT: f64 = 2.0;
    const LENGTH: Duration = Duration::from_secs(8);

    fn certificates(dir: &Path) -> [Identity; 2] {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
        let hub = hub_dns_names("hub-1").unwrap().to_vec();
        let site = vec![site_dns_name(&SiteId::new("shop-1").unwrap())];
        [("hub", hub), ("site", site)].map(|(name, names)| {
            let key = KeyPair::generate().unwrap();
            let cert = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
            let path = |end: &str| dir.join(format!("{name}{end}"));
            std::fs::write(path(".pem"), cert.pem()).unwrap();
            std::fs::write(path("-key.pem"), key.serialize_pem()).unwrap();
            Identity::load(&dir.join("ca.pem"), &path(".pem"), &path("-key.pem")).unwrap()
        })
    }

    fn config(dir: &Path) -> SiteConfig {
        let file = dir.join("site.toml");
        let limit = format!("[[uplink.limit]]\nclass = \"backlog\"\nrate_mbit_max = {MBIT}\n");
        std::fs::write(&file, format!("[site]\nid = \"shop-1\"\n{limit}")).unwrap();
        load_site_with(&file, std::iter::empty()).unwrap().0
    }

    /// Counts what comes over a stream.
    async fn count(mut stream: quinn::RecvStream, bytes: &AtomicU64) -> quinn::RecvStream {
        while let Ok(Some(chunk)) = stream.read_chunk(usize::MAX, true).await {
            bytes.fetch_add(chunk.bytes.len() as u64, SeqCst);
        }
        stream
    }

    async fn open(connection: &quinn::Connection, priority: i32) -> quinn::SendStream {
        let mut stream = connection.open_uni().await.unwrap();
        stream.set_priority(priority).unwrap();
        stream.write_all(&[0]).await.unwrap();
        stream
    }

    #[tokio::test]
    async fn a_limit_on_backlog_holds_and_delays_nothing_live() {
        let dir = tempfile::tempdir().unwrap();
        let [hub, site] = certificates(dir.path());
        let quic: QuicHandle = tokio::runtime::Handle::current().into();
        let settings = Settings::default();
        let hub = hub_endpoint(([127, 0, 0, 1], 0).into(), &hub, &settings, &quic).unwrap();
        let site = site_endpoint(&Egress::default(), &site, &settings, &quic).unwrap();
        let accept = async { hub.accept().await.unwrap().await.unwrap() };
        let dial = connect(&site, hub.local_addr().unwrap(), Duration::from_secs(5));
        let (near, far) = tokio::join!(accept, dial);
        let far = far.unwrap();
        let gate = Gate::new(far.clone(), Arc::new(Replication::fixed(&config(dir.path()))));

        let mut backlog = open(&far, priority::BACKLOG).await;
        let backlog_in = near.accept_uni().await.unwrap();
        let mut live = open(&far, priority::LIVE).await;
        let live_in = near.accept_uni().await.unwrap();
        let (backlog_bytes, live_bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        let (part, fragment) = (Bytes::from(vec![1; 200_000]), Bytes::from(vec![2; 50_000]));
        let mut lags = Vec::new();
        let began = wire::clock::now();
        let send_backlog = async { while gate.write(&mut backlog, Class::Backlog, &part).await.is_ok() {} };
        let send_live = async {
            let mut sent = 1;
            while began.elapsed() < LENGTH {
                let since = wire::clock::now();
                gate.write(&mut live, Class::Live, &fragment).await.unwrap();
                sent += fragment.len() as u64;
                lags.push(arrived(&live_bytes, sent, since).await);
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        };
        tokio::select! {
            () = send_live => {}
            () = send_backlog => unreachable!("the connection ended"),
            _ = count(backlog_in, &backlog_bytes) => unreachable!("the stream ended"),
            _ = count(live_in, &live_bytes) => unreachable!("the stream ended"),
        }
        let bytes = backlog_bytes.load(SeqCst) as f64 / began.elapsed().as_secs_f64();
        let mbit = settings.line_bits(bytes / settings.stream_rate(1.0)) / 1e6;
        assert!((mbit / MBIT - 1.0).abs() < 0.1, "{mbit} Mbit/s");
        // With one bucket for both, each would wait for two of backlog's pieces, half a second.
        lags.sort_unstable();
        let median = lags[lags.len() / 2];
        assert!(lags.len() > 15 && median < Duration::from_millis(100), "{lags:?}");
    }

    /// How long it takes until so much is there.
    async fn arrived(bytes: &AtomicU64, wanted: u64, since: Instant) -> Duration {
        while bytes.load(SeqCst) < wanted {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        since.elapsed()
    }
}
