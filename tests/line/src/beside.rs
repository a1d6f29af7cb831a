//! TCP flows of the kernel on the same line.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::net::sockopt::{self, Timeout};

use crate::run::Stage;

/// How long a call may wait before it is asked whether the flow is over.
const GLANCE: Duration = Duration::from_millis(100);
/// Several round trips of the longest line.
const DIAL: Duration = Duration::from_secs(10);

/// One flow from beginning to end; `index` says which.
pub(crate) fn flow(stage: &Arc<Stage>, index: usize) -> Result<()> {
    let (near, far) = (&stage.lab.a, &stage.lab.b);
    let algorithm = &stage.options.beside[index];
    let listener = far.netns.inside(|| TcpListener::bind((far.address, 0)))?.context("listen for TCP")?;
    sockopt::set_socket_timeout(&listener, Timeout::Recv, Some(DIAL)).context("limit a wait")?;
    let address = listener.local_addr().context("ask for an address")?;
    stage.sleep_until(Duration::from_secs_f64(stage.options.beside_at));
    let sender = near.netns.inside(|| connect(address, algorithm))??;
    std::thread::scope(|scope| {
        scope.spawn(|| send(&sender, stage));
        let (receiver, _) = listener.accept().context("accept TCP")?;
        receive(receiver, stage, index)
    })
}

fn connect(address: SocketAddr, algorithm: &str) -> Result<TcpStream> {
    let socket = TcpStream::connect_timeout(&address, DIAL).context("connect by TCP")?;
    sockopt::set_tcp_congestion(&socket, algorithm).with_context(|| {
        format!("use {algorithm} for TCP: net.ipv4.tcp_available_congestion_control has more")
    })?;
    socket.set_write_timeout(Some(GLANCE)).context("limit a wait")?;
    // At the end what is queued is not sent any more.
    sockopt::set_socket_linger(&socket, Some(Duration::ZERO)).context("forgo lingering")?;
    Ok(socket)
}

fn send(mut socket: &TcpStream, stage: &Stage) {
    let block = [0; 1 << 16];
    while stage.now() < stage.options.beside_end() {
        match socket.write(&block) {
            Err(error) if !is_wait(error.kind()) => return,
            _ => {}
        }
    }
}

fn receive(mut socket: TcpStream, stage: &Stage, index: usize) -> Result<()> {
    socket.set_read_timeout(Some(GLANCE)).context("limit a wait")?;
    let mut buffer = vec![0; 1 << 18];
    while stage.now() < stage.options.beside_end() {
        match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(bytes) => stage.beside[index].count(stage.now(), bytes as u64),
            Err(error) if is_wait(error.kind()) => {}
            Err(error) => return Err(error).context("read by TCP"),
        }
    }
    Ok(())
}

fn is_wait(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
