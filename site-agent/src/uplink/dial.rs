//! The hub's addresses, and attempts to reach one of them until somebody answers.
//!
//! Attempts overlap: a new one begins while earlier ones may still succeed, and the first that does wins. So
//! a handshake over a slow line has all the time it needs, and yet a path that heals is tried within a second;
//! with one attempt at a time quinn's own repetitions (1, 2, 4 s apart) or a timeout would be in the way.
//!
//! Names are looked up beside the attempts, never before them: when the path is down, DNS mostly is too, and
//! its timeouts must not cost the second in which the path heals.

use std::fmt::Display;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rand::Rng;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use wire::discover::{Discovery, Source};
use wire::transport::{self, ConnectError, Egress, Identity, QuicHandle, Settings};

use super::redial::Redial;
use crate::beats::PathPlace;

/// An attempt that has not succeeded by then is given up; two later ones have overtaken it.
pub(crate) const ATTEMPT_MAX: Duration = Duration::from_secs(5);
/// The next of several addresses is dialled when the one before has not answered by then (RFC 8305).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);
/// …and the next path, when no address was reached over the one before: longer than a handshake takes on most lines,
/// since it is the less preferred one.
const NEXT_PATH: Duration = Duration::from_secs(1);
/// DNS gets this long to say where the hub is now, before it is dialled where it was: whoever has moved the
/// hub wants nobody at the old one.
const HEAD_START: Duration = Duration::from_millis(500);
/// An answer of DNS serves so long.
const FRESH: Duration = Duration::from_secs(5);

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// For people.
    pub(crate) why: String,
    /// Did somebody answer, and say no?
    pub(crate) refused: bool,
}

/// What is known of the hub's addresses.
#[derive(Clone, Debug, Default)]
struct Found {
    addresses: Vec<SocketAddr>,
    /// When DNS last had its say.
    at: Option<Instant>,
    /// Why there are none.
    why: String,
}

/// Where the hub is, as far as is known.
#[derive(Default)]
pub(crate) struct AddressBook {
    wanted: Notify,
    found: watch::Sender<Found>,
}

impl AddressBook {
    /// Asks whenever an answer is wanted. Never ends.
    pub(crate) async fn keep(&self, mut discovery: Discovery) -> std::convert::Infallible {
        loop {
            self.wanted.notified().await;
            let answer = discovery.resolve(wire::clock::wall()).await;
            self.found.send_modify(|found| {
                found.at = Some(wire::clock::now());
                match answer {
                    Ok(resolved) => {
                        if let Source::LastGood { why, .. } = &resolved.from {
                            tracing::warn!(
                                why,
                                "name service does not answer; using the last good addresses"
                            );
                        }
                        found.addresses = resolved.addresses;
                    }
                    Err(error) => found.why = error.to_string(),
                }
            });
        }
    }

    /// Fresh addresses if they can be had soon, or else the last.
    pub(crate) async fn addresses(&self) -> Result<Vec<SocketAddr>, Failure> {
        let fresh = |found: &Found| found.at.is_some_and(|at| at.elapsed() < FRESH);
        let mut found = self.found.subscribe();
        if !fresh(&found.borrow()) {
            self.wanted.notify_one();
            let _ = timeout(HEAD_START, found.wait_for(fresh)).await;
        }
        let found = found.borrow().clone();
        match (found.addresses.is_empty(), found.at) {
            (false, _) => Ok(found.addresses),
            (true, Some(_)) => Err(Failure { why: found.why, refused: false }),
            (true, None) => {
                Err(Failure { why: "the hub's name is being looked up".to_owned(), refused: false })
            }
        }
    }
}

/// Begins attempts until one succeeds.
pub(crate) async fn until_answered<C, Attempt, Addresses>(
    redial: &mut Redial,
    random: &mut impl Rng,
    addresses: impl Fn() -> Addresses,
    attempt: impl Fn(Vec<SocketAddr>) -> Attempt,
    mut failed: impl FnMut(Failure),
) -> C
where
    Addresses: Future<Output = Result<Vec<SocketAddr>, Failure>>,
    Attempt: Future<Output = Result<C, Failure>>,
{
    let mut attempts = FuturesUnordered::new();
    loop {
        let pause = redial.pause(wire::clock::now(), random.random());
        let mut next = pin!(async { tokio::join!(addresses(), sleep(pause)).0 });
        let addresses = loop {
            let failure: Failure = tokio::select! {
                Some(ended) = attempts.next() => match ended {
                    Ok(connection) => return connection,
                    Err(failure) => failure,
                },
                found = &mut next => match found {
                    Ok(found) => break Some(found),
                    Err(failure) => { failed(failure); break None }
                },
            };
            if failure.refused {
                redial.refused();
            }
            failed(failure);
        };
        attempts.extend(addresses.map(&attempt));
    }
}

/// Who dials.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) settings: &'a Settings,
    pub(crate) quic: &'a QuicHandle,
}

/// A connection, and over which path it came about.
pub(crate) struct Dialled {
    pub(crate) path: PathPlace,
    pub(crate) endpoint: quinn::Endpoint,
    pub(crate) connection: quinn::Connection,
}

/// One attempt: all addresses over all paths, the later ones a little later.
pub(crate) async fn attempt(
    addresses: Vec<SocketAddr>,
    paths: &[(PathPlace, &Egress)],
    caller: Caller<'_>,
) -> Result<Dialled, Failure> {
    let dials = paths.iter().zip(0..).map(|((path, egress), place)| {
        let addresses = addresses.clone();
        async move {
            sleep(NEXT_PATH * place).await;
            let (endpoint, connection) = over(egress, addresses, caller).await?;
            Ok(Dialled { path: *path, endpoint, connection })
        }
    });
    first(dials, "there is no path").await
}

/// Dials over one path. A socket per attempt, since after an address change of the site's own an older one may be
/// stuck.
async fn over(
    egress: &Egress,
    addresses: Vec<SocketAddr>,
    Caller { identity, settings, quic }: Caller<'_>,
) -> Result<(quinn::Endpoint, quinn::Connection), Failure> {
    let endpoint = transport::site_endpoint(egress, identity, settings, quic)
        .map_err(|error| Failure { why: error.to_string(), refused: false })?;
    let dial = |address| transport::connect(&endpoint, address, ATTEMPT_MAX);
    let connection = first_of(addresses, dial, refuses).await?;
    Ok((endpoint, connection))
}

/// Dials all addresses, the later ones a little later; the first that answers counts.
pub(crate) async fn first_of<C, E: Display, Dial: Future<Output = Result<C, E>>>(
    addresses: Vec<SocketAddr>,
    dial: impl Fn(SocketAddr) -> Dial,
    refuses: impl Fn(&E) -> bool,
) -> Result<C, Failure> {
    let dial = async |place: u32, address: SocketAddr| {
        sleep(NEXT_ADDRESS * place).await;
        dial(address).await.map_err(|error| Failure { why: error.to_string(), refused: refuses(&error) })
    };
    first(
        addresses.into_iter().zip(0..).map(|(address, place)| dial(place, address)),
        "the hub's name has no address",
    )
    .await
}

/// The first that succeeds; or the last failure, which is a refusal if any was.
async fn first<C, Dial: Future<Output = Result<C, Failure>>>(
    dials: impl Iterator<Item = Dial>,
    none: &str,
) -> Result<C, Failure> {
    let mut dials: FuturesUnordered<_> = dials.collect();
    let mut last = Failure { why: none.to_owned(), refused: false };
    while let Some(ended) = dials.next().await {
        match ended {
            Ok(connection) => return Ok(connection),
            Err(failure) => last = Failure { refused: last.refused || failure.refused, ..failure },
        }
    }
    Err(last)
}

/// Did somebody answer?
fn refuses(error: &ConnectError) -> bool {
    use quinn::ConnectionError::{ApplicationClosed, ConnectionClosed, TransportError, VersionMismatch};
    let ConnectError::Handshake { source, .. } = error else { return false };
    matches!(source, ApplicationClosed(_) | ConnectionClosed(_) | TransportError(_) | VersionMismatch)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, ready};

    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    fn somewhere() -> Vec<SocketAddr> {
        vec![([127, 0, 0, 1], 9).into()]
    }

    /// Dials where the attempts, counted from 0, go as told; how many began, and after how long one was answered.
    async fn dialled<Attempt: Future<Output = Result<(), Failure>>>(
        go: impl Fn(u32) -> Attempt,
    ) -> (u32, Duration) {
        let began = wire::clock::now();
        let (mut redial, mut random) = (Redial::new(began), SmallRng::seed_from_u64(7));
        let begun = Cell::new(0);
        let attempt = |_| go(begun.replace(begun.get() + 1));
        let addresses = || ready(Ok(somewhere()));
        until_answered(&mut redial, &mut random, addresses, attempt, |_| {}).await;
        (begun.get(), began.elapsed())
    }

    #[tokio::test]
    async fn an_attempt_that_is_lost_holds_nobody_up() {
        let go = async |attempt| if attempt < 2 { pending().await } else { Ok(()) };
        let (begun, after) = dialled(go).await;
        assert_eq!(begun, 3);
        assert!(after < Duration::from_secs(4), "after {after:?}");
    }

    #[tokio::test]
    async fn an_attempt_that_takes_long_still_wins() {
        let slow = Duration::from_millis(1800);
        let go = async |attempt| {
            if attempt > 0 {
                return pending().await;
            }
            sleep(slow).await;
            Ok(())
        };
        let (begun, after) = dialled(go).await;
        assert!(begun > 1, "it was alone");
        assert!(after >= slow);
    }

    #[tokio::test]
    async fn a_name_server_that_is_silent_costs_half_a_second_at_most() {
        let book = AddressBook::default();
        book.found.send_modify(|found| found.addresses = somewhere());
        let began = wire::clock::now();
        assert_eq!(book.addresses().await, Ok(somewhere()));
        assert!((HEAD_START..HEAD_START * 4).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn what_dns_says_soon_is_believed() {
        let book = AddressBook::default();
        let moved: Vec<SocketAddr> = vec![([127, 0, 0, 2], 9).into()];
        book.found.send_modify(|found| found.addresses = somewhere());
        let say = async {
            book.wanted.notified().await;
            book.found.send_modify(|found| {
                *found = Found { addresses: moved.clone(), at: Some(wire::clock::now()), ..Found::default() };
            });
        };
        let ((), told) = tokio::join!(say, book.addresses());
        assert_eq!(told, Ok(moved));
    }
}
