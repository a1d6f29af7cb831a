//! A main runtime that does nothing else for a while.

use super::*;

/// Short, so that the test is.
fn impatient() -> Settings {
    Settings {
        keep_alive: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(800),
        ..Settings::default()
    }
}

/// A connection between two endpoints on `quic`, of which nobody else's task runs for twice the idle timeout.
/// True if it outlives that.
async fn outlives_a_pause(quic: &QuicHandle) -> bool {
    let (authority, settings) = (Authority::new(), impatient());
    let hub_identity = authority.identity(for_hub("node-1"));
    let hub = hub_endpoint(loopback(), &hub_identity, &settings, quic).unwrap();
    let site_identity = authority.identity(for_site("shop-7"));
    let site = site_endpoint(&Egress::default(), &site_identity, &settings, quic).unwrap();
    let (near, far) = pair(&hub, &site, hub.local_addr().unwrap()).await;
    // What is left of the handshake must not arrive after the pause as a sign of life.
    tokio::time::sleep(settings.keep_alive * 3 / 2).await;
    let acked = far.stats().frame_rx.acks;
    // Blocks the only thread of the test's runtime, as a hash over a large file would.
    std::thread::sleep(settings.idle_timeout * 2);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let lives = near.close_reason().is_none() && far.close_reason().is_none();
    // Keep-alives went out in time, and were answered in time.
    assert!(!lives || far.stats().frame_rx.acks > acked + 2);
    lives
}

#[tokio::test]
async fn a_blocked_main_runtime_does_not_end_a_connection() {
    let threads = QuicThreads::start(1).unwrap();
    assert!(outlives_a_pause(&threads.handle()).await);
}

#[tokio::test]
async fn without_threads_of_its_own_it_would() {
    assert!(!outlives_a_pause(&here()).await);
}
