//! A web server for one page and one video: what a browser needs to play a file, `Range` included, and a
//! place where the page can say how it went.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use anyhow::Context;

/// Serves until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// What the page said, as the query of `/said?…`.
    pub(crate) said: mpsc::Receiver<String>,
    over: Arc<AtomicBool>,
}

struct Files {
    page: &'static str,
    video: PathBuf,
}

impl Server {
    pub(crate) fn start(page: &'static str, video: &Path) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("listen for a browser")?;
        let address = listener.local_addr()?;
        let (sender, said) = mpsc::channel();
        let over = Arc::new(AtomicBool::new(false));
        let files = Arc::new(Files { page, video: video.to_owned() });
        let stop = over.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let (files, sender) = (files.clone(), sender.clone());
                // A browser that hangs up in mid-answer has what it wanted.
                std::thread::spawn(move || drop(files.answer(stream, &sender)));
            }
        });
        Ok(Self { address, said, over })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

impl Files {
    fn answer(&self, mut stream: TcpStream, said: &mpsc::Sender<String>) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let request = lines.next().transpose()?.unwrap_or_default();
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let headers = lines.map_while(Result::ok).take_while(|line| !line.is_empty());
        let range = headers.filter_map(|line| range_of(&line)).last();
        match path.split_once('?') {
            Some(("/said", what)) => {
                let _ = said.send(what.to_owned());
                stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            }
            _ if path == "/" => {
                let length = self.page.len();
                let head =
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length:";
                write!(stream, "{head} {length}\r\n\r\n{}", self.page)
            }
            _ if path == "/video.mp4" => self.video(&mut stream, range),
            _ => {
                stream.write_all(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            }
        }
    }

    fn video(&self, stream: &mut TcpStream, range: Option<(u64, Option<u64>)>) -> std::io::Result<()> {
        let mut file = std::fs::File::open(&self.video)?;
        let length = file.metadata()?.len();
        let (from, to) = range.map_or((0, length), |(from, last)| {
            (from.min(length), last.map_or(length, |last| (last + 1).min(length)))
        });
        let status = match range {
            Some(_) => format!(
                "206 Partial Content\r\nContent-Range: bytes {from}-{}/{length}",
                to.saturating_sub(1)
            ),
            None => "200 OK".to_owned(),
        };
        let size = to.saturating_sub(from);
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: video/mp4\r\nAccept-Ranges: bytes\r\nConnection: close\r\n\
             Content-Length: {size}\r\n\r\n"
        )?;
        file.seek(SeekFrom::Start(from))?;
        std::io::copy(&mut file.take(size), stream).map(drop)
    }
}

/// `Range: bytes=FROM-[LAST]`
fn range_of(line: &str) -> Option<(u64, Option<u64>)> {
    let (name, value) = line.split_once(':')?;
    let range = name.eq_ignore_ascii_case("range").then(|| value.trim().strip_prefix("bytes="))??;
    let (from, last) = range.split_once('-')?;
    Some((from.parse().ok()?, last.parse().ok()))
}
