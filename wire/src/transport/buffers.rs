//! Kernel buffers of a socket, as large as we may have them.
//!
//! A limit of the machine (`net.core.rmem_max`, often 208 KiB) holds unless one may administer the network; a
//! daemon that runs as root, or with CAP_NET_ADMIN, may. Less than was asked for is no reason not to start.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Once;

use socket2::Socket;

/// Below this a burst of a few milliseconds at 1 Gbit/s is lost, which is worth telling.
const ENOUGH: usize = 1 << 20;

/// Asks for buffers of `bytes`, both ways.
pub(super) fn grow(socket: &Socket, bytes: usize) {
    let wanted = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    let received =
        force(socket, libc::SO_RCVBUFFORCE, wanted).or_else(|_| socket.set_recv_buffer_size(bytes));
    let sent = force(socket, libc::SO_SNDBUFFORCE, wanted).or_else(|_| socket.set_send_buffer_size(bytes));
    let error = received.and(sent).err().map(tracing::field::display);
    let (received, sent) = granted(socket);
    tracing::debug!(asked = bytes, received, sent, error, "UDP buffers granted");
    if received.min(sent) < ENOUGH.min(bytes) {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            tracing::info!(
                asked = bytes,
                received,
                sent,
                "UDP buffers are small, fast lines may lose packets: raise net.core.rmem_max and \
                 net.core.wmem_max, or give the daemon CAP_NET_ADMIN"
            );
        });
    }
}

/// What there is, receiving and sending. The kernel doubles what it is asked for, for its own bookkeeping, and
/// says so.
fn granted(socket: &Socket) -> (usize, usize) {
    (socket.recv_buffer_size().unwrap_or(0) / 2, socket.send_buffer_size().unwrap_or(0) / 2)
}

#[allow(unsafe_code)]
fn force(socket: &Socket, option: libc::c_int, bytes: libc::c_int) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of_val(&bytes)).unwrap_or(0);
    // SAFETY: the descriptor is the socket's own, and the kernel reads one int from the address of one.
    let done = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, (&raw const bytes).cast(), length)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use socket2::{Domain, Type};

    use super::*;

    fn limit() -> usize {
        let text = std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap();
        text.trim().parse().unwrap()
    }

    #[test]
    fn whoever_may_gets_more_than_the_machines_limit() {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        let beyond = limit() + 4096;
        // Without the right to do so this tests the fall-back: the limit, and no failure.
        let allowed = force(&socket, libc::SO_RCVBUFFORCE, libc::c_int::try_from(beyond).unwrap()).is_ok();
        grow(&socket, beyond);
        assert_eq!(granted(&socket).0, if allowed { beyond } else { limit() });
    }
}
