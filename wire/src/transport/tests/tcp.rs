//! TLS over TCP: who gets in, and who doesn't.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// A hub that takes one connection, and says to whom; then the error or the node that the site sees.
async fn meet(hub: &Identity, site: &Identity) -> (Result<SiteId, TcpError>, Result<String, String>) {
    let socket = std::net::TcpListener::bind(loopback()).unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let hub = TcpHub::bind(address, hub).unwrap();
    let serve = async {
        let (site, mut stream) = hub.accept().await.unwrap().handshake(SOON).await?;
        let mut said = [0; 5];
        stream.read_exact(&mut said).await.unwrap();
        stream.write_all(&said).await.unwrap();
        stream.flush().await.unwrap();
        Ok(site)
    };
    let dialer = TcpDialer::new(site).unwrap();
    let dial = async {
        let (node, mut stream) = dialer.connect(address, SOON).await.map_err(|error| error.to_string())?;
        let mut heard = [0; 5];
        stream.write_all(b"hello").await.map_err(|error| error.to_string())?;
        stream.flush().await.map_err(|error| error.to_string())?;
        stream.read_exact(&mut heard).await.map_err(|error| error.to_string())?;
        assert_eq!(&heard, b"hello");
        Ok(node)
    };
    tokio::join!(serve, dial)
}

#[tokio::test]
async fn both_sides_know_each_other_by_their_certificates() {
    let authority = Authority::new();
    let (hub, site) = (authority.identity(for_hub("node-1")), authority.identity(for_site("shop-1")));
    let (came, reached) = meet(&hub, &site).await;
    assert_eq!(came.unwrap().as_str(), "shop-1");
    assert_eq!(reached.unwrap(), "node-1");
}

#[tokio::test]
async fn nobody_gets_in_without_a_certificate_of_the_authority_for_a_site() {
    let (authority, other) = (Authority::new(), Authority::named("Somebody else's"));
    let hub = authority.identity(for_hub("node-1"));
    let foreign = other.identity(for_site("shop-1"));
    let node = authority.identity(for_hub("node-2"));
    for stranger in [foreign, node] {
        let (came, reached) = meet(&hub, &stranger).await;
        assert!(came.is_err_and(|error| error.is_refusal()), "{stranger:?}");
        assert!(reached.is_err(), "{stranger:?}");
    }
}

#[tokio::test]
async fn a_hub_that_says_nothing_costs_no_longer_than_was_said() {
    let authority = Authority::new();
    let silent = tokio::net::TcpListener::bind(loopback()).await.unwrap();
    let dialer = TcpDialer::new(&authority.identity(for_site("shop-1"))).unwrap();
    let dialled = dialer.connect(silent.local_addr().unwrap(), Duration::from_millis(200)).await;
    assert!(matches!(dialled, Err(TcpError::Timeout { .. })), "{dialled:?}");
}
