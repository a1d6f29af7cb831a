//! A TUN device in a namespace: whole IP packets, read and written one by one.
//!
//! No virtio header and no offloads, so the kernel segments and checksums before we see a packet: what
//! crosses the path is what would cross a wire.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, ensure};

use crate::netns::{Netns, Open};

/// The largest packet, headers included.
pub const MTU: usize = 1500;

/// Packets the kernel keeps for us between two reads. It is no part of the path's queue: the thread empties
/// it as fast as it can, and what does not fit is reported as unread.
const RING: &str = "2000";

/// One end of a path.
pub(crate) struct Tun {
    file: File,
    namespace: Open,
    name: String,
}

impl Tun {
    /// Makes the device, gives it `address`, and a route to `peer` through it.
    pub(crate) fn open(netns: &Netns, name: &str, address: Ipv4Addr, peer: Ipv4Addr) -> anyhow::Result<Self> {
        let namespace = netns.open()?;
        let file =
            namespace.inside(|| create(name))?.with_context(|| format!("make TUN {name} in {netns}"))?;
        let (address, peer) = (format!("{address}/32"), peer.to_string());
        netns.ip(&["address", "add", &address, "peer", &peer, "dev", name])?;
        netns.ip(&["link", "set", name, "mtu", &MTU.to_string(), "txqueuelen", RING, "up"])?;
        Ok(Self { file, namespace, name: name.to_owned() })
    }

    /// Reads one packet; none if there is none now.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match (&self.file).read(buffer) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes one packet.
    pub(crate) fn write(&self, packet: &[u8]) -> io::Result<()> {
        (&self.file).write(packet).map(|_| ())
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Packets the kernel dropped because nobody read them in time.
    pub(crate) fn unread(&self) -> anyhow::Result<u64> {
        let file = "/proc/thread-self/net/dev";
        let table = self
            .namespace
            .inside(|| std::fs::read_to_string(file))?
            .with_context(|| format!("read {file}"))?;
        let line =
            table.lines().find_map(|line| line.trim_start().strip_prefix(&self.name)?.strip_prefix(':'));
        let drops = line.and_then(|line| line.split_whitespace().nth(11)?.parse().ok());
        drops.with_context(|| format!("{file} has no transmit drops of {}", self.name))
    }
}

/// On a thread inside the namespace.
fn create(name: &str) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun");
    let file = file.context("open /dev/net/tun")?;
    request(&file, name)?;
    // Else the device sends router solicitations of its own, which would take part in the loss.
    let ipv6 = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
    match std::fs::write(&ipv6, "1") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context(ipv6),
        _ => Ok(file),
    }
}

#[allow(unsafe_code)]
fn request(file: &File, name: &str) -> anyhow::Result<()> {
    ensure!(!name.is_empty() && name.len() < libc::IFNAMSIZ, "a device's name has 1 to 15 bytes");
    // SAFETY: a structure of integers and a union of such; all zeros is a value of it.
    let mut wanted: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in wanted.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_TUN_EXCL;
    wanted.ifr_ifru.ifru_flags = libc::c_short::from_ne_bytes(u16::try_from(flags)?.to_ne_bytes());
    // SAFETY: the descriptor is open, and the kernel reads and writes one ifreq where it is told one is.
    let made = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut wanted) };
    ensure!(made == 0, io::Error::last_os_error());
    // SAFETY: the argument is a number, not a pointer.
    let set = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD, 0) };
    ensure!(set == 0, io::Error::last_os_error());
    Ok(())
}
