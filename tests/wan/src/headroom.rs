//! What the machine carries: full-size packets sent as fast as one thread can, through a path that changes
//! nothing.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::Context;

use crate::clock;
use crate::forward::Forwarder;
use crate::tun::MTU;
use crate::wan::End;

/// How long it is measured.
const TIME: Duration = Duration::from_millis(500);

/// An IP packet's and a UDP datagram's headers.
const HEADERS: usize = 28;

/// Packets per second from A to B. The forwarder must have its first, empty path.
pub(crate) fn measure(a: &End, b: &End, a_to_b: &Forwarder) -> anyhow::Result<u64> {
    // Somebody has to be there, or every packet costs an ICMP error too. Nobody reads.
    let sink = b.netns.inside(|| UdpSocket::bind((b.address, 0)))?.context("bind a socket at end B")?;
    let target = sink.local_addr().context("ask for a socket's address")?;
    let source = a.netns.inside(|| UdpSocket::bind((a.address, 0)))?.context("bind a socket at end A")?;
    source.connect(target).context("connect end A to end B")?;
    let payload = [0; MTU - HEADERS];
    let began = clock::now();
    while began.elapsed() < TIME {
        // A full buffer is what this is about.
        let _ = source.send(&payload);
    }
    let took = began.elapsed().as_secs_f64();
    let report = a_to_b.report().context("the forwarding thread is gone")?;
    // What is still on its way must not arrive in the path that is asked for.
    std::thread::sleep(Duration::from_millis(20));
    Ok((report.packets_out as f64 / took) as u64)
}
