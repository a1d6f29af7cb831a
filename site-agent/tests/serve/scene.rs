//! A small archive, recorded the way a site does it, and its HTTP surface.
//!
//! In seconds after the beginning, with four segments of 4 s to each 12 s of video:
//!
//! | time | run A | run B | run C |
//! |---|---|---|---|
//! | 0 – 12 | records | | |
//! | 12 – 17 | camera down | | |
//! | 17 – 29 | records, then dies | | |
//! | 26 – 38 | | records, then is stopped | |
//! | 45 – 57 | | | records, then dies |

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use media::{Output, Segmenter, SegmenterConfig};
use site_agent::archive::{Archive, Change, OpenSegment};
use site_agent::live::Live;
use site_agent::serve::{self, CameraInfo, Cameras, LiveTails, Role, Served, StreamInfo, Token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use wire::proto::entry::Kind;
use wire::proto::{Event, Gap, GapCause};
use wire::{LedgerId, OriginId, SiteId, StreamId, UnixMicros};

use crate::clip::{Clip, h264};

/// When everything begins.
pub(crate) const BEGIN_S: i64 = 1_700_000_000;
pub(crate) const A: u8 = 1;
pub(crate) const B: u8 = 2;
pub(crate) const C: u8 = 3;

pub(crate) fn at(seconds: f64) -> UnixMicros {
    UnixMicros(BEGIN_S * 1_000_000 + (seconds * 1e6) as i64)
}

pub(crate) fn site() -> SiteId {
    SiteId::new("shop-7").unwrap()
}

pub(crate) fn stream() -> StreamId {
    "till-1/main".parse().unwrap()
}

pub(crate) fn ledger(origin: u8) -> LedgerId {
    LedgerId { origin: OriginId([origin; 16]), stream: stream() }
}

pub(crate) fn segmenter(origin: u8) -> Segmenter {
    let four = Duration::from_secs(4);
    let config = SegmenterConfig { segment: four, fragment: Duration::from_secs(1), first_segment: four };
    Segmenter::new(ledger(origin), config, 0)
}

pub(crate) struct Scene {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) archive: Archive,
    pub(crate) live: Arc<Live>,
}

impl Scene {
    pub(crate) async fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::open(dir.path()).unwrap();
        Self { dir, archive, live: Arc::default() }
    }

    /// The one in the table.
    pub(crate) async fn new() -> Self {
        let scene = Self::empty().await;
        let mut a = scene.open(A, 0.0).await;
        scene.record(A, &mut a, h264(), 0.0).await;
        let gap = Gap {
            start_us: at(11.96).0,
            end_us: at(17.0).0,
            cause: GapCause::CameraDown.into(),
            detail: "no answer".into(),
        };
        scene.append(A, 17.0, Kind::Gap(gap)).await;
        scene.record(A, &mut a, h264(), 17.0).await;
        scene.end(A).await;
        let mut b = scene.open(B, 26.0).await;
        scene.record(B, &mut b, h264(), 26.0).await;
        let stopped = Event { at_us: at(38.0).0, kind: "recorder.stopped".into(), ..Event::default() };
        scene.append(B, 38.0, Kind::Event(stopped)).await;
        let mut c = scene.open(C, 45.0).await;
        scene.record(C, &mut c, h264(), 45.0).await;
        scene.end(C).await;
        scene
    }

    pub(crate) async fn open(&self, origin: u8, seconds: f64) -> Segmenter {
        let change = Change::Open { ledger: ledger(origin), site: site(), opened: at(seconds) };
        self.archive.submit(change).await.unwrap();
        segmenter(origin)
    }

    pub(crate) async fn end(&self, origin: u8) {
        self.archive.submit(Change::End { ledger: ledger(origin) }).await.unwrap();
    }

    async fn append(&self, origin: u8, seconds: f64, kind: Kind) {
        let change = Change::Append { ledger: ledger(origin), at: at(seconds), kind, file: None };
        self.archive.submit(change).await.unwrap();
    }

    pub(crate) async fn record(&self, origin: u8, segmenter: &mut Segmenter, clip: &Clip, seconds: f64) {
        let mut outputs = clip.send(segmenter, at(seconds));
        outputs.extend(segmenter.cut());
        let mut open = None;
        for output in outputs {
            match output {
                Output::Part(part) => {
                    let create = || OpenSegment::create(self.dir.path(), &ledger(origin), part.segment);
                    open.get_or_insert_with(|| create().unwrap()).append(&part.data).unwrap();
                }
                Output::Closed(segment) => {
                    let file = open.take().map(OpenSegment::close);
                    let (ledger, at) = (ledger(origin), UnixMicros(segment.end_us));
                    let change = Change::Append { ledger, at, kind: Kind::Segment(*segment), file };
                    self.archive.submit(change).await.unwrap();
                }
            }
        }
    }

    pub(crate) async fn serve(&self) -> Server {
        let token = Token::load_or_make(self.dir.path()).unwrap();
        let served = Served {
            archive: self.archive.clone(),
            live: self.live.clone(),
            tails: Arc::new(LiveTails::new(self.live.clone(), site())),
            status: Arc::new(|| serde_json::json!({ "software": "test" })),
            metrics: Arc::new(|| "holdfast_test 1\n".to_owned()),
            scrub: Arc::default(),
            cameras: Arc::new(OneCamera),
            role: Role::Site(site()),
        };
        let listener = serve::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let cancel = CancellationToken::new();
        let router = serve::router(served, token.clone());
        let task = tokio::spawn(serve::serve(listener, router, cancel.clone()));
        Server { address, token: token.reveal().to_owned(), cancel, task }
    }
}

struct OneCamera;

impl Cameras for OneCamera {
    fn cameras(&self) -> Vec<CameraInfo> {
        let streams = vec![StreamInfo {
            stream: stream(),
            state: "recording".into(),
            detail: String::new(),
            not_recording: None,
        }];
        vec![CameraInfo { site: site(), camera: "till-1".into(), name: "Till".into(), streams }]
    }
}

pub(crate) struct Server {
    address: SocketAddr,
    pub(crate) token: String,
    pub(crate) cancel: CancellationToken,
    pub(crate) task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let line =
            self.head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
        line.split_once(':').map(|(_, value)| value.trim())
    }
}

impl Server {
    pub(crate) fn url(&self, path: &str) -> String {
        let separator = if path.contains('?') { '&' } else { '?' };
        format!("http://{}{path}{separator}token={}", self.address, self.token)
    }

    /// A path of the scene's camera.
    pub(crate) fn camera(path: &str) -> String {
        format!("/api/v1/sites/shop-7/cameras/till-1/{path}")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_as(path, &format!("Authorization: Bearer {}\r\n", self.token)).await
    }

    pub(crate) async fn get_as(&self, path: &str, headers: &str) -> Answer {
        let mut connection = self.ask(path, headers).await;
        let mut bytes = Vec::new();
        connection.read_to_end(&mut bytes).await.unwrap();
        let end = bytes.windows(4).position(|found| found == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: bytes[end + 4..].to_vec() }
    }

    /// HTTP/1.0: the body comes as it is and ends with the connection.
    pub(crate) async fn ask(&self, path: &str, headers: &str) -> TcpStream {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.0\r\nHost: test\r\n{headers}\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        connection
    }
}
