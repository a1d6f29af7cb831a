//! Keeps ways open to every voter: TCP to all over every path, and QUIC over the preferred one to those that the
//! session doesn't go to. Beats are all that would go over QUIC on the others, and TCP does for those.
//!
//! Dialling is as for the session (`crate::uplink`): attempts overlap, each may take 5 s, at most 5 s lie between two.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use wire::discover::Discovery;
use wire::transport::{TcpError, peer_node, probe_silence};
use wire::{frame, proto};

use super::dialling::{Dialling, Patience, resolve};
use super::line::carry;
use super::roster::{Member, Roster};
use super::ways::{Carrier, PathPlace, Way};
use super::{BYTES_MAX, Beats};
use crate::uplink::dial::{self, ATTEMPT_MAX, AddressBook, Caller, Dialled, Failure};

/// From the handshake to the hub's welcome.
const WELCOME_MAX: Duration = Duration::from_secs(5);
/// For the other side to hear that a connection is closed.
const CLOSE_MAX: Duration = Duration::from_secs(1);
/// A way that stood for this long was a good one: the outage after it is a new one.
const GOOD: Duration = Duration::from_secs(10);

/// A voter to be reached; without a name it is the configured hub, whoever that turns out to be.
struct Target {
    member: Option<Member>,
    /// Of its addresses as told; none: the configured hub's.
    books: Vec<Arc<AddressBook>>,
}

impl Beats {
    /// Keeps ways open, for as long as it is polled.
    pub(crate) async fn reach(self: &Arc<Self>, dialling: Dialling) -> std::convert::Infallible {
        let mut roster = self.roster.subscribe();
        let mut reached: Vec<(Option<Member>, AbortOnDropHandle<()>)> = Vec::new();
        loop {
            let wanted = targets(&roster.borrow_and_update());
            reached.retain(|(member, task)| wanted.contains(member) && !task.is_finished());
            for member in wanted {
                if !reached.iter().any(|(other, _)| *other == member) {
                    let (beats, dialling) = (self.clone(), dialling.clone());
                    let target = member.clone();
                    let task = tokio::spawn(async move { beats.keep(target, dialling).await });
                    reached.push((member, AbortOnDropHandle::new(task)));
                }
            }
            if roster.changed().await.is_err() {
                std::future::pending::<()>().await; // never: we have the sender
            }
        }
    }

    /// Where the session's node is: the owner of the site's vault, if the hub has told, and the configured hub where
    /// nobody is there who could tell better. Where there is no owner, because it was taken out and nobody has the vault
    /// yet, every voter that is known is as good as the configured hub, which may be the one that was taken out.
    pub(crate) async fn session_addresses(
        &self,
        configured: &AddressBook,
    ) -> Result<Vec<SocketAddr>, Failure> {
        let owner = self.books_of_owner();
        if owner.is_empty() {
            return self.addresses_of_any(configured).await;
        }
        let found = resolve(&owner).await;
        if !self.heard().is_empty() {
            return found;
        }
        either(found, configured.addresses().await)
    }

    /// Where any node is that may be talked to.
    async fn addresses_of_any(&self, configured: &AddressBook) -> Result<Vec<SocketAddr>, Failure> {
        let configured = configured.addresses().await;
        let voters = self.books_of_voters();
        if voters.is_empty() {
            return configured;
        }
        let told = resolve(&voters).await;
        match self.roster.borrow().revoked.is_empty() {
            true => either(configured, told),
            // Who answers at the configured address may be who is trusted no more.
            false => either(told, configured),
        }
    }

    async fn keep(self: Arc<Self>, member: Option<Member>, dialling: Dialling) {
        let told = member.as_ref().map(|member| member.addresses.as_slice()).unwrap_or_default();
        let node = member.as_ref().map_or("", |member| &member.node);
        let mut books = Vec::new();
        let mut keeping = FuturesUnordered::new();
        for (place, address) in told.iter().enumerate() {
            let book = Arc::<AddressBook>::default();
            let cache = self.file.with_file_name(format!("hub-addresses-{node}-{place}"));
            let discovery = Discovery::new(address.clone(), dialling.hub.dns.clone(), wire::clock::seed());
            books.push(book.clone());
            keeping.push(async move { book.keep(discovery.with_cache(cache)).await });
        }
        self.put_books(node, books.clone());
        if books.is_empty() {
            books.push(dialling.book.clone());
        }
        let target = Target { member, books };
        tokio::select! {
            _ = join_all(self.paths().map(|(path, _)| self.keep_tcp(path, &target, &dialling))) => {}
            () = self.keep_quic(&target, &dialling) => {}
            Some(never) = keeping.next() => match never {},
        }
    }

    async fn keep_tcp(&self, path: PathPlace, target: &Target, dialling: &Dialling) {
        self.keep_way(Way { path, carrier: Carrier::Tcp }, target, dialling).await;
    }

    /// QUIC of its own to a node that the session neither is at nor goes to.
    async fn keep_quic(&self, target: &Target, dialling: &Dialling) {
        let way = Way { path: PathPlace::default(), carrier: Carrier::Quic };
        let Some(member) = &target.member else { return std::future::pending().await };
        loop {
            self.until_session_is(true, &member.node).await;
            tokio::select! {
                () = self.keep_way(way, target, dialling) => {}
                () = self.until_session_is(false, &member.node) => {}
            }
        }
    }

    /// Opens one way again and again.
    async fn keep_way(&self, way: Way, target: &Target, dialling: &Dialling) {
        let mut patience = Patience::new();
        loop {
            let (stood, ended) = match way.carrier {
                Carrier::Tcp => self.once_over_tcp(way, &mut patience, target, dialling).await,
                Carrier::Quic => self.once_over_quic(way, &mut patience, target, dialling).await,
            };
            if let Err(error) = ended {
                tracing::info!(
                    voter = target.name(),
                    way = self.name_of(way),
                    why = format!("{error:#}"),
                    "a way for beats is gone"
                );
            }
            if stood >= GOOD {
                patience = Patience::new();
            } else {
                patience.broke();
            }
        }
    }

    /// Dials until a connection comes about, and serves it; how long it stood, and why it ended.
    async fn once_over_tcp(
        &self,
        way: Way,
        patience: &mut Patience,
        target: &Target,
        dialling: &Dialling,
    ) -> (Duration, anyhow::Result<()>) {
        let dialler = dialling.tcp.by(&self.path(way.path).egress);
        let dial = |address| dialler.connect(address, ATTEMPT_MAX);
        let attempt = |addresses| dial::first_of(addresses, dial, TcpError::is_refusal);
        let (node, stream) = patience.until_answered(&target.books, attempt).await;
        let began = wire::clock::now();
        let (receive, mut send) = tokio::io::split(stream);
        let ended = self.line(way, target, &node, dialling, receive, &mut send).await;
        (began.elapsed(), ended)
    }

    async fn once_over_quic(
        &self,
        way: Way,
        patience: &mut Patience,
        target: &Target,
        dialling: &Dialling,
    ) -> (Duration, anyhow::Result<()>) {
        let path = [(way.path, &self.path(way.path).egress)];
        let caller =
            Caller { identity: &dialling.identity, settings: &dialling.settings, quic: &dialling.quic };
        let attempt = |addresses| dial::attempt(addresses, &path, caller);
        let Dialled { endpoint, connection, .. } = patience.until_answered(&target.books, attempt).await;
        let began = wire::clock::now();
        let ended = tokio::select! {
            ended = self.quic_line(way, target, &connection, dialling) => ended,
            () = probe_silence(&connection, &dialling.settings) => Ok(()),
        };
        let stood = began.elapsed();
        connection.close(0u32.into(), b"");
        let _ = timeout(CLOSE_MAX, endpoint.wait_idle()).await;
        (stood, ended)
    }

    async fn quic_line(
        &self,
        way: Way,
        target: &Target,
        connection: &quinn::Connection,
        dialling: &Dialling,
    ) -> anyhow::Result<()> {
        let node = peer_node(connection)?;
        let (mut send, receive) = connection.open_bi().await.context("open stream for beats")?;
        self.line(way, target, &node, dialling, receive, &mut send).await
    }

    /// One connection that carries beats only, from its hello on.
    async fn line<R, W>(
        &self,
        way: Way,
        target: &Target,
        node: &str,
        dialling: &Dialling,
        receive: R,
        send: &mut W,
    ) -> anyhow::Result<()>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        if let Some(member) = target.member.as_ref().filter(|member| member.node != node) {
            bail!("there is {node} where {} was told to be", member.node);
        }
        tokio::select! {
            biased;
            () = self.until_revoked(node) => bail!("{node} is revoked at this hub"),
            ended = self.trusted_line(way, node, dialling, receive, send) => ended,
        }
    }

    async fn trusted_line<R, W>(
        &self,
        way: Way,
        node: &str,
        dialling: &Dialling,
        receive: R,
        send: &mut W,
    ) -> anyhow::Result<()>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut reader = frame::Reader::new(receive, BYTES_MAX);
        let hello = proto::site_message::Kind::Hello(self.hello(proto::Purpose::Beats, way.path));
        frame::write(send, &proto::SiteMessage { kind: Some(hello) }).await.context("say hello")?;
        let welcome = timeout(WELCOME_MAX, reader.next::<proto::HubMessage>()).await;
        let welcome = welcome.context("no welcome came")?.context("read welcome")?;
        let sealing_key = match welcome.and_then(|message| message.kind) {
            Some(proto::hub_message::Kind::Welcome(welcome)) => {
                crate::uplink::check_welcome(&dialling.site, &welcome)?;
                if let Some(standing) = welcome.standing {
                    self.stands(standing, false);
                }
                welcome.sealing_key
            }
            Some(proto::hub_message::Kind::Refuse(refuse)) => {
                bail!("the hub refuses this site: {}", refuse.detail)
            }
            _ => bail!("its first message was no welcome"),
        };
        tracing::debug!(node, way = self.name_of(way), "beats have a way of their own");
        carry(self, &self.voter(node), (way, sealing_key), send, &mut reader).await
    }
}

/// What is found first, then what else is.
fn either(
    first: Result<Vec<SocketAddr>, Failure>,
    second: Result<Vec<SocketAddr>, Failure>,
) -> Result<Vec<SocketAddr>, Failure> {
    let (mut addresses, second) = match (first, second) {
        (Err(failure), Err(_)) => return Err(failure),
        (first, second) => (first.unwrap_or_default(), second.unwrap_or_default()),
    };
    for address in second {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

impl Target {
    fn name(&self) -> &str {
        self.member.as_ref().map_or("the hub", |member| &member.node)
    }
}

/// Whom to reach; as long as nobody is told of, whoever is where the hub is configured.
fn targets(roster: &Roster) -> Vec<Option<Member>> {
    match roster.voters.is_empty() {
        true => vec![None],
        false => roster.voters.iter().cloned().map(Some).collect(),
    }
}
