//! What dialling a voter takes, and for how long it is tried.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::join_all;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use wire::SiteId;
use wire::transport::{Identity, QuicHandle, Settings, TcpDialer};

use crate::config::Hub;
use crate::uplink::dial::{self, AddressBook, Failure};
use crate::uplink::redial::Redial;

/// What dialling takes.
#[derive(Clone)]
pub(crate) struct Dialling {
    pub(crate) hub: Hub,
    pub(crate) site: SiteId,
    pub(crate) identity: Identity,
    pub(crate) tcp: TcpDialer,
    pub(crate) quic: QuicHandle,
    pub(crate) settings: Settings,
    /// The configured hub's addresses.
    pub(crate) book: Arc<AddressBook>,
}

/// One outage of a way.
pub(super) struct Patience {
    redial: Redial,
    random: SmallRng,
}

impl Patience {
    pub(super) fn new() -> Self {
        let random = SmallRng::seed_from_u64(wire::clock::seed());
        Self { redial: Redial::new(wire::clock::now()), random }
    }

    /// It stood for a moment only.
    pub(super) fn broke(&mut self) {
        self.redial.refused();
    }

    /// Begins attempts until one succeeds.
    pub(super) async fn until_answered<C, Attempt: Future<Output = Result<C, Failure>>>(
        &mut self,
        books: &[Arc<AddressBook>],
        attempt: impl Fn(Vec<SocketAddr>) -> Attempt,
    ) -> C {
        let failed = |failure: Failure| tracing::debug!(why = failure.why, "no way for beats");
        let addresses = || resolve(books);
        dial::until_answered(&mut self.redial, &mut self.random, addresses, attempt, failed).await
    }
}

/// The addresses in all books.
pub(super) async fn resolve(books: &[Arc<AddressBook>]) -> Result<Vec<SocketAddr>, Failure> {
    let mut found = Vec::new();
    let mut last = None;
    for answer in join_all(books.iter().map(|book| book.addresses())).await {
        match answer {
            Ok(addresses) => found.extend(addresses),
            Err(failure) => last = Some(failure),
        }
    }
    match last {
        Some(failure) if found.is_empty() => Err(failure),
        _ => Ok(found),
    }
}
