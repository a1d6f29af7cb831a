//! Cuts shorter than the idle timeout: how soon the hub hears of the site again.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use super::relay::Relay;
use super::*;

/// The outage that the product promises to recover from within a second.
const OUTAGE: Duration = Duration::from_secs(10);

/// The promised second, and another for a busy machine.
const SOON_AGAIN: Duration = Duration::from_secs(2);

/// What the site has to send.
#[derive(Clone, Copy)]
enum Work {
    /// More than fits into the congestion window, always.
    Endless,
    /// One fragment, sent into the outage, and then nothing.
    Once,
}

/// Cuts the path for [`OUTAGE`]; from the heal to the first bytes of the site's at the hub.
async fn heard_again(work: Work) -> Duration {
    let authority = Authority::new();
    // A slow path, so that the machine isn't busy.
    let congestion = Congestion::Holdfast { ceiling: Some(250_000) };
    let settings = Settings { congestion, ..Settings::default() };
    let hub_identity = authority.identity(for_hub("node-1"));
    let hub = hub_endpoint(loopback(), &hub_identity, &settings, &here()).unwrap();
    let site_identity = authority.identity(for_site("shop-7"));
    let site = site_endpoint(&Egress::default(), &site_identity, &settings, &here()).unwrap();
    let relay = Relay::to(hub.local_addr().unwrap());
    let (near, far) = pair(&hub, &site, relay.address).await;

    let received = Arc::new(AtomicU64::new(0));
    let count = received.clone();
    tokio::spawn(async move {
        let mut stream = near.accept_uni().await.unwrap();
        while let Ok(Some(chunk)) = stream.read_chunk(usize::MAX, true).await {
            count.fetch_add(chunk.bytes.len() as u64, SeqCst);
        }
    });
    let (probed, settings) = (far.clone(), settings.clone());
    tokio::spawn(async move { probe_silence(&probed, &settings).await });

    let mut stream = far.open_uni().await.unwrap();
    stream.write_all(b"first").await.unwrap();
    let fragment = [7; 30_000];
    match work {
        Work::Endless => {
            tokio::spawn(async move { while stream.write_all(&fragment).await.is_ok() {} });
            tokio::time::sleep(Duration::from_secs(1)).await;
            relay.cut();
        }
        Work::Once => {
            tokio::time::sleep(Duration::from_secs(1)).await;
            relay.cut();
            stream.write_all(&fragment).await.unwrap();
            tokio::spawn(async move { stream.stopped().await });
        }
    }
    tokio::time::sleep(OUTAGE).await;
    let before = received.load(SeqCst);
    assert!(before > 0, "nothing arrived before the cut");
    relay.heal();
    let healed = clock::now();
    while received.load(SeqCst) == before {
        assert!(far.close_reason().is_none(), "ended after {:?}: {:?}", healed.elapsed(), far.close_reason());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    healed.elapsed()
}

#[tokio::test]
async fn backlog_flows_again_within_a_second_of_the_heal() {
    let after = heard_again(Work::Endless).await;
    assert!(after < SOON_AGAIN, "after {after:?}");
}

#[tokio::test]
async fn a_fragment_lost_in_the_outage_arrives_within_a_second_of_the_heal() {
    let after = heard_again(Work::Once).await;
    assert!(after < SOON_AGAIN, "after {after:?}");
}
