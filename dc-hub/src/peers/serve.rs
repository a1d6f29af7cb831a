//! A connection from another hub node.

use bytes::Bytes;
use decide::NodeId;
use tokio::task::JoinSet;
use wire::transport::explain;

use super::{HubPeers, REQUESTS, form};

impl HubPeers {
    /// Serves a connection whose certificate is hub node `name`'s, until it ends.
    pub(crate) async fn serve(&self, name: &str, connection: quinn::Connection) {
        let Some(id) = self.admit(name, &connection) else {
            let why =
                format!("hub node `{name}` is in neither the control log nor the configuration of this one");
            tracing::warn!(from = %connection.remote_address(), "refused a connection: {why}");
            return connection.close(form::NOT_A_MEMBER, why.as_bytes());
        };
        connection.set_max_concurrent_bi_streams(REQUESTS.into());
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                stream = connection.accept_bi() => match stream {
                    Ok(stream) => drop(tasks.spawn(self.clone().answer(id, stream))),
                    Err(_) => break,
                },
                stream = connection.accept_uni() => match stream {
                    Ok(stream) => drop(tasks.spawn(self.clone().hear(id, stream))),
                    Err(_) => break,
                },
                Some(_) = tasks.join_next() => {}
            }
        }
        let why = connection.close_reason().map(|reason| explain(&reason)).unwrap_or_default();
        tracing::info!(node = name, why, "a hub node's connection ended");
        self.leave(name, &connection);
    }

    /// The caller's id, if it is one of us. An older connection of the same node is closed.
    fn admit(&self, name: &str, connection: &quinn::Connection) -> Option<NodeId> {
        let mut state = self.lock();
        let id = *state.links.iter().find(|(_, link)| link.neighbour().name == name)?.0;
        if let Some((_, before)) = state.callers.insert(name.to_owned(), (id, connection.clone())) {
            before.close(0u32.into(), b"a newer connection of the same node took over");
        }
        Some(id)
    }

    fn leave(&self, name: &str, connection: &quinn::Connection) {
        let mut state = self.lock();
        let current = state.callers.get(name).map(|(_, current)| current.stable_id());
        if current == Some(connection.stable_id()) {
            state.callers.remove(name);
        }
    }

    async fn answer(self, from: NodeId, (mut send, mut receive): (quinn::SendStream, quinn::RecvStream)) {
        let request = form::read(&mut receive, form::MESSAGE_MAX).await;
        let log = self.lock().log.as_ref().map(|(log, _)| log.clone());
        let (Ok(Some(request)), Some(log)) = (request, log) else { return };
        let answer: Bytes = log.handle(from, request).await;
        // Whoever asked may be gone.
        if form::write(&mut send, &answer).await.is_ok() {
            let _ = send.finish();
        }
    }

    async fn hear(self, from: NodeId, mut stream: quinn::RecvStream) {
        loop {
            match form::read(&mut stream, form::CAST_MAX).await {
                Ok(Some(cast)) => match serde_json::from_slice(&cast) {
                    // Full: whoever looks at them is behind, and newer ones come.
                    Ok(cast) => drop(self.0.told.try_send((from, cast))),
                    Err(error) => tracing::debug!(%from, %error, "a cast of another version"),
                },
                Ok(None) | Err(_) => return,
            }
        }
    }
}
