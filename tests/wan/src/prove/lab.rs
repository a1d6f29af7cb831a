//! Two namespaces for one proof.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;

use crate::netns::{self, Made};
use crate::settings::Settings;
use crate::wan::{End, Wan, WanError};

/// Two namespaces, removed when it is dropped. Addresses are from the upper half of 198.18.0.0/15, set aside
/// for tests of network devices (RFC 2544).
pub struct Lab {
    // Only to be dropped.
    _made: [Made; 2],
    /// End A.
    pub a: End,
    /// End B.
    pub b: End,
}

impl Lab {
    /// Makes them; needs root.
    pub fn new() -> anyhow::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        netns::sweep()?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let names = ["a", "b"].map(|end| format!("hfw-{}-{number}{end}", std::process::id()));
        let made = [Made::new(&names[0])?, Made::new(&names[1])?];
        let a = End::new(&names[0], Ipv4Addr::new(198, 19, 0, 1));
        let b = End::new(&names[1], Ipv4Addr::new(198, 19, 0, 2));
        Ok(Self { _made: made, a, b })
    }

    /// Joins them.
    pub fn start(&self, settings: &Settings) -> Result<Wan, WanError> {
        Wan::start(&self.a, &self.b, settings)
    }

    /// A datagram socket at an end, on any port.
    pub fn udp(&self, end: &End) -> anyhow::Result<UdpSocket> {
        let socket = end.netns.inside(|| UdpSocket::bind((end.address, 0)))?.context("bind a socket")?;
        socket.set_read_timeout(Some(std::time::Duration::from_millis(1500))).context("limit a wait")?;
        Ok(socket)
    }

    /// A connection from A to B.
    pub fn tcp(&self) -> anyhow::Result<(TcpStream, TcpStream)> {
        let listener =
            self.b.netns.inside(|| TcpListener::bind((self.b.address, 0)))?.context("listen at end B")?;
        let address = listener.local_addr().context("ask for an address")?;
        let near = self.a.netns.inside(|| TcpStream::connect(address))?.context("connect end A to end B")?;
        let (far, _): (_, _) = listener.accept().context("accept at end B")?;
        let limit = Some(std::time::Duration::from_secs(5));
        let limited: io::Result<()> =
            near.set_write_timeout(limit).and_then(|()| far.set_read_timeout(limit));
        limited.context("limit a wait")?;
        Ok((near, far))
    }
}
