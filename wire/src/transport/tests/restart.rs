//! A hub that dies without a word and comes back on the same port.

use tokio::runtime::{Builder, Runtime};

use super::*;

/// A hub that can die as a killed process does.
struct Mortal {
    runtime: Runtime,
    endpoint: Endpoint,
    near: Option<Connection>,
}

impl Mortal {
    fn start(listen: SocketAddr, identity: &Identity) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let threads = runtime.handle().clone().into();
        let endpoint = hub_endpoint(listen, identity, &Settings::default(), &threads).unwrap();
        Self { runtime, endpoint, near: None }
    }

    fn address(&self) -> SocketAddr {
        self.endpoint.local_addr().unwrap()
    }

    /// Has a connection with `site`.
    async fn meet(&mut self, site: &Endpoint) -> Connection {
        let (near, far) = pair(&self.endpoint, site, self.address()).await;
        self.near = Some(near);
        far
    }

    /// Ends at once: nothing is said, and the port is free.
    fn die(self) {
        // The tasks first: they are who would say goodbye. On a thread, since it waits for their end.
        let runtime = self.runtime;
        std::thread::spawn(move || runtime.shutdown_timeout(SOON)).join().unwrap();
    }
}

/// How the connection of a site that goes on sending ends, and after how long.
async fn ends(far: &Connection) -> (ConnectionError, Duration) {
    let began = clock::now();
    let mut stream = far.open_uni().await.unwrap();
    let chatter = async {
        loop {
            if stream.write_all(b"still here").await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        ended = far.closed() => (ended, began.elapsed()),
        () = chatter => unreachable!("it never ends"),
    }
}

#[tokio::test]
async fn a_site_learns_at_once_that_its_hub_restarted() {
    let authority = Authority::new();
    let identity = authority.identity(for_hub("node-1"));
    let site = site(&authority.identity(for_site("shop-7")));
    let mut first = Mortal::start(loopback(), &identity);
    let (far, address) = (first.meet(&site).await, first.address());
    first.die();
    let second = Mortal::start(address, &identity);
    let (ended, after) = ends(&far).await;
    assert_eq!(ended, ConnectionError::Reset);
    assert!(after < Duration::from_secs(2), "after {after:?}");
    second.die();
}

#[tokio::test]
async fn another_node_on_the_port_resets_nothing() {
    let authority = Authority::new();
    let [one, other] = ["node-1", "node-2"].map(|node| authority.identity(for_hub(node)));
    let site = site(&authority.identity(for_site("shop-7")));
    let mut first = Mortal::start(loopback(), &one);
    let (far, address) = (first.meet(&site).await, first.address());
    first.die();
    let second = Mortal::start(address, &other);
    let told = tokio::time::timeout(Duration::from_millis(1500), ends(&far)).await;
    assert!(told.is_err(), "{told:?}");
    second.die();
}
