//! A path between a site and a hub that can be cut: UDP, on this machine, without delay or loss of its own.

use std::net::UdpSocket;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use super::*;

/// Cut and healed at will, both ways at once. Ends with the test.
pub(super) struct Relay {
    /// What the site dials.
    pub(super) address: SocketAddr,
    path: Arc<Path>,
}

struct Path {
    front: UdpSocket,
    back: UdpSocket,
    site: Mutex<Option<SocketAddr>>,
    cut: AtomicBool,
    over: AtomicBool,
}

impl Relay {
    pub(super) fn to(hub: SocketAddr) -> Self {
        let socket = || {
            let socket = UdpSocket::bind(loopback()).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            socket
        };
        let (front, back) = (socket(), socket());
        back.connect(hub).unwrap();
        let address = front.local_addr().unwrap();
        let path = Path { front, back, site: Mutex::default(), cut: false.into(), over: false.into() };
        let path = Arc::new(path);
        let (there, back) = (path.clone(), path.clone());
        std::thread::spawn(move || there.carry_there());
        std::thread::spawn(move || back.carry_back());
        Self { address, path }
    }

    pub(super) fn cut(&self) {
        self.path.cut.store(true, SeqCst);
    }

    pub(super) fn heal(&self) {
        self.path.cut.store(false, SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.path.over.store(true, SeqCst);
    }
}

impl Path {
    fn open(&self) -> bool {
        !self.cut.load(SeqCst)
    }

    fn carry_there(&self) {
        let mut buffer = [0; 2048];
        while !self.over.load(SeqCst) {
            let Ok((length, from)) = self.front.recv_from(&mut buffer) else { continue };
            *self.site.lock().unwrap() = Some(from);
            if self.open() {
                let _ = self.back.send(&buffer[..length]);
            }
        }
    }

    fn carry_back(&self) {
        let mut buffer = [0; 2048];
        while !self.over.load(SeqCst) {
            let Ok(length) = self.back.recv(&mut buffer) else { continue };
            let site = *self.site.lock().unwrap();
            if let Some(site) = site.filter(|_| self.open()) {
                let _ = self.front.send_to(&buffer[..length], site);
            }
        }
    }
}
