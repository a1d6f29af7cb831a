//! The connection to one other node: dialled anew whenever it ends, for as long as the node is in the log.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use control_log::PeerError;
use decide::NodeId;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use wire::transport::{connect_node, explain};

use super::outbox::Outbox;
use super::{Neighbour, form};

/// Between two dials, doubling: hub nodes are few, and a leader is waited for.
const WAIT: Duration = Duration::from_millis(100);
/// A node that is away for long is dialled once a second.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// For a handshake.
const DIAL: Duration = Duration::from_secs(2);
/// Casts go before whatever is written to the same node.
const CASTS_PRIORITY: i32 = 10;

pub(super) struct Link {
    neighbour: Neighbour,
    current: watch::Receiver<Result<quinn::Connection, String>>,
    outbox: Arc<Outbox>,
    dialler: JoinHandle<()>,
}

impl Link {
    pub(super) fn start(
        id: NodeId,
        neighbour: Neighbour,
        endpoint: &quinn::Endpoint,
        dialling: &quinn::ClientConfig,
    ) -> Self {
        let (told, current) = watch::channel(Err("it has not been dialled yet".to_owned()));
        let outbox = Arc::new(Outbox::default());
        let dialler = Dialler {
            id,
            neighbour: neighbour.clone(),
            endpoint: endpoint.clone(),
            dialling: dialling.clone(),
            outbox: outbox.clone(),
            told,
        };
        Self { neighbour, current, outbox, dialler: tokio::spawn(dialler.run()) }
    }

    pub(super) fn neighbour(&self) -> &Neighbour {
        &self.neighbour
    }

    pub(super) fn connection(&self) -> Option<quinn::Connection> {
        self.current.borrow().as_ref().ok().cloned()
    }

    /// Why there is no connection.
    pub(super) fn trouble(&self) -> String {
        self.current.borrow().as_ref().err().cloned().unwrap_or_default()
    }

    pub(super) fn cast(&self, cast: Bytes) {
        self.outbox.put(wire::clock::now(), cast);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.dialler.abort();
        if let Some(connection) = self.connection() {
            connection.close(0u32.into(), b"this node is not called any more");
        }
    }
}

struct Dialler {
    id: NodeId,
    neighbour: Neighbour,
    endpoint: quinn::Endpoint,
    dialling: quinn::ClientConfig,
    outbox: Arc<Outbox>,
    told: watch::Sender<Result<quinn::Connection, String>>,
}

impl Dialler {
    async fn run(self) {
        let mut wait = WAIT;
        loop {
            match self.dial().await {
                Ok(connection) => {
                    let since = wire::clock::now();
                    let why = self.connected(connection).await;
                    tracing::info!(node = self.neighbour.name, why, "lost the connection to a hub node");
                    let _ = self.told.send_replace(Err(why));
                    // A connection that is refused at once doesn't count as one.
                    if wire::clock::now().saturating_duration_since(since) > WAIT_MAX {
                        wait = WAIT;
                    }
                }
                Err(why) => {
                    // Said once, not at each dial.
                    if self.told.send_if_modified(|told| replace(told, &why)) {
                        tracing::warn!(node = self.neighbour.name, why, "a hub node can't be reached");
                    }
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    async fn dial(&self) -> Result<quinn::Connection, String> {
        let Neighbour { name, address } = &self.neighbour;
        let found = tokio::net::lookup_host(address).await;
        let mut why = format!("`{address}` has no address");
        for address in found.map_err(|error| format!("look up `{address}`: {error}"))? {
            let dialled = connect_node(&self.endpoint, self.dialling.clone(), (name, address), DIAL).await;
            match dialled {
                Ok(connection) => return Ok(connection),
                Err(error) => why = error.to_string(),
            }
        }
        Err(why)
    }

    /// Serves a connection until it ends, and says why it did.
    async fn connected(&self, connection: quinn::Connection) -> String {
        tracing::info!(node = self.neighbour.name, id = %self.id, "connected to a hub node");
        let _ = self.told.send_replace(Ok(connection.clone()));
        tokio::select! {
            reason = connection.closed() => explain(&reason),
            ended = self.casts(&connection) => match (connection.close_reason(), ended) {
                (Some(reason), _) => explain(&reason),
                (None, Err(error)) => error.to_string(),
                (None, Ok(())) => "no more casts".to_owned(),
            },
        }
    }

    /// Sends casts until the connection ends.
    async fn casts(&self, connection: &quinn::Connection) -> std::io::Result<()> {
        let mut stream = connection.open_uni().await?;
        stream.set_priority(CASTS_PRIORITY)?;
        loop {
            let cast = self.outbox.next().await;
            form::write(&mut stream, &cast).await?;
        }
    }
}

fn replace(told: &mut Result<quinn::Connection, String>, why: &str) -> bool {
    let changed = told.as_ref().err().is_none_or(|before| before != why);
    if changed {
        *told = Err(why.to_owned());
    }
    changed
}

/// Asks on a stream of its own.
pub(super) async fn request(
    node: NodeId,
    connection: &quinn::Connection,
    request: Bytes,
) -> Result<Bytes, PeerError> {
    let (mut send, mut receive) =
        connection.open_bi().await.map_err(|error| PeerError::NotSent { node, why: explain(&error) })?;
    let lost = |why: String| PeerError::Lost { node, why };
    form::write(&mut send, &request).await.map_err(|error| lost(error.to_string()))?;
    let _ = send.finish();
    match form::read(&mut receive, form::MESSAGE_MAX).await {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err(lost("it closed the stream".to_owned())),
        Err(error) => Err(lost(error.to_string())),
    }
}
