//! The measurements, with plain sockets: only the seeded losses come from the WAN's own code.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::Lab;
use crate::chance::Losses;
use crate::clock;
use crate::priority;
use crate::settings::Settings;
use crate::tun::MTU;
use crate::wan::Way;

/// An IP packet's and a UDP datagram's headers.
const HEADERS: usize = 28;

/// The round trip of small datagrams, 5 ms apart: the median.
pub fn echo(lab: &Lab, times: u32) -> anyhow::Result<Duration> {
    let (near, far) = (lab.udp(&lab.a)?, lab.udp(&lab.b)?);
    near.connect(far.local_addr().context("ask for an address")?).context("connect")?;
    let mut trips = priority::raised(|| echo_trips(&near, &far, times))?;
    trips.sort();
    Ok(trips[trips.len() / 2])
}

fn echo_trips(near: &UdpSocket, far: &UdpSocket, times: u32) -> anyhow::Result<Vec<Duration>> {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut datagram = [0; 4];
            for _ in 0..times {
                let Ok((bytes, from)) = far.recv_from(&mut datagram) else { return };
                let _ = far.send_to(&datagram[..bytes], from);
            }
        });
        let sent = scope.spawn(|| -> std::io::Result<Vec<Instant>> {
            let send = |number: u32| {
                std::thread::sleep(Duration::from_millis(5));
                let sent = clock::now();
                near.send(&number.to_be_bytes()).map(|_| sent)
            };
            (0..times).map(send).collect()
        });
        let mut back = Vec::new();
        for _ in 0..times {
            let mut datagram = [0; 4];
            near.recv(&mut datagram).context("wait for an echo")?;
            back.push((u32::from_be_bytes(datagram), clock::now()));
        }
        let sent = sent.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).context("send")?;
        let trip = |(number, at): (u32, Instant)| at.saturating_duration_since(sent[number as usize]);
        Ok(back.into_iter().map(trip).collect())
    })
}

/// Sends at `rate_bps` from A to B and says at what rate it arrives, in bit/s of IP packets, between the
/// first and the last arrival.
pub fn blast(lab: &Lab, rate_bps: u64, time: Duration) -> anyhow::Result<f64> {
    let (near, far) = (lab.udp(&lab.a)?, lab.udp(&lab.b)?);
    near.connect(far.local_addr().context("ask for an address")?).context("connect")?;
    far.set_read_timeout(Some(Duration::from_millis(200))).context("limit a wait")?;
    // What the reader is too slow for would look like loss on the path.
    rustix::net::sockopt::set_socket_recv_buffer_size(&far, 4_000_000).context("enlarge a buffer")?;
    priority::raised(|| arrival_rate(&near, &far, rate_bps, time))
}

fn arrival_rate(near: &UdpSocket, far: &UdpSocket, rate_bps: u64, time: Duration) -> anyhow::Result<f64> {
    std::thread::scope(|scope| {
        scope.spawn(|| pace(near, rate_bps, time));
        let mut datagram = [0; MTU];
        let (mut first, mut last, mut bytes) = (None, None, 0);
        while let Ok(size) = far.recv(&mut datagram) {
            let now = clock::now();
            match first {
                None => first = Some(now),
                Some(_) => bytes += size + HEADERS,
            }
            last = Some(now);
        }
        let (first, last) = first.zip(last).context("nothing arrived")?;
        ensure!(last > first, "one packet arrived");
        Ok(bytes as f64 * 8.0 / (last - first).as_secs_f64())
    })
}

/// Full-size datagrams, evenly enough, woken every half a millisecond.
fn pace(socket: &UdpSocket, rate_bps: u64, time: Duration) {
    let (began, mut sent) = (clock::now(), 0.0);
    while began.elapsed() < time {
        let due = began.elapsed().as_secs_f64() * rate_bps as f64 / 8.0;
        while sent < due {
            let _ = socket.send(&[0; MTU - HEADERS]);
            sent += MTU as f64;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// What a TCP flow got.
#[derive(Clone, Copy, Debug)]
pub struct Goodput {
    /// Payload, bit/s.
    pub payload_bps: f64,
    /// With the headers of full-size segments (timestamps included): what the path saw.
    pub wire_bps: f64,
}

/// One TCP flow from A to B, measured at B for `time` after `warm_up`.
pub fn tcp(lab: &Lab, warm_up: Duration, time: Duration) -> anyhow::Result<Goodput> {
    let (near, far) = lab.tcp()?;
    priority::raised(|| goodput(near, far, warm_up, time))
}

fn goodput(
    mut near: TcpStream,
    mut far: TcpStream,
    warm_up: Duration,
    time: Duration,
) -> anyhow::Result<Goodput> {
    std::thread::scope(|scope| {
        // Ends when the far end is closed.
        scope.spawn(move || while near.write_all(&[0; 1 << 16]).is_ok() {});
        let mut buffer = vec![0; 1 << 16];
        let began = clock::now();
        while began.elapsed() < warm_up {
            far.read(&mut buffer).context("read at end B")?;
        }
        let (began, mut bytes) = (clock::now(), 0);
        while began.elapsed() < time {
            bytes += far.read(&mut buffer).context("read at end B")?;
        }
        let payload_bps = bytes as f64 * 8.0 / began.elapsed().as_secs_f64();
        // Else the near end would wait for room.
        drop(far);
        // 20 bytes of IP, 20 of TCP, 12 of timestamps.
        Ok(Goodput { payload_bps, wire_bps: payload_bps * MTU as f64 / (MTU - 52) as f64 })
    })
}

/// Sends numbered datagrams from A to B: which the seed says are lost, and which were.
pub fn lost(lab: &Lab, settings: &Settings, count: u32) -> anyhow::Result<(Vec<u32>, Vec<u32>)> {
    let mut losses = Losses::new(Way::AToB.seed(settings.seed));
    let expected = (0..count).filter(|_| losses.next(&settings.a_to_b)).collect();
    let (near, far) = (lab.udp(&lab.a)?, lab.udp(&lab.b)?);
    near.connect(far.local_addr().context("ask for an address")?).context("connect")?;
    far.set_read_timeout(Some(Duration::from_millis(300))).context("limit a wait")?;
    let arrived = std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..count {
                let _ = near.send(&number.to_be_bytes());
                if number % 16 == 0 {
                    std::thread::sleep(Duration::from_micros(500));
                }
            }
        });
        let (mut arrived, mut datagram) = (BTreeSet::new(), [0; 4]);
        while far.recv(&mut datagram).is_ok() {
            arrived.insert(u32::from_be_bytes(datagram));
        }
        arrived
    });
    Ok((expected, (0..count).filter(|number| !arrived.contains(number)).collect()))
}
