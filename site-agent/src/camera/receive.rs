//! A playing session's items → events, until it ends.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use media::{Arrival, AudioFrame, AudioTrack, SenderReport, VideoFrame, VideoTrack};
use retina::codec::CodecItem;
use retina::rtcp::ReceivedCompoundPacket;
use tokio::sync::mpsc;
use wire::clock;

use super::CameraEvent;
use super::connect::Playing;
use super::failure::{Failure, Target};
use super::track;

/// A camera that sends no picture for so long is taken for dead. TCP alone would notice after minutes; a
/// live camera sends several frames a second, and the slowest time-lapse settings of common cameras one
/// in a few seconds.
const FRAME_WITHIN: Duration = Duration::from_secs(10);
/// How long pictures may come without parameter sets: cameras that send these only in band do it with each
/// keyframe, and "smart" codecs stretch those to 10 s, some to 20 s.
const PARAMETERS_WITHIN: Duration = Duration::from_secs(30);

/// How a session ended.
pub(super) struct Ended {
    pub(super) failure: Failure,
    /// Were there frames?
    pub(super) connected: bool,
    /// For how long.
    pub(super) well: Duration,
}

/// Sends events until the session ends.
pub(super) async fn receive(playing: Playing, target: &Target, events: &mpsc::Sender<CameraEvent>) -> Ended {
    let now = clock::now();
    let mut receiver = Receiver {
        playing,
        target,
        events,
        track: None,
        report: None,
        connected: None,
        began: now,
        last_frame: now,
        waited: Duration::ZERO,
    };
    let failure = receiver.until_failure().await;
    let connected = receiver.connected;
    let well = connected.map_or(Duration::ZERO, |since| receiver.last_frame.saturating_duration_since(since));
    Ended { failure, connected: connected.is_some(), well }
}

struct Receiver<'a> {
    playing: Playing,
    target: &'a Target,
    events: &'a mpsc::Sender<CameraEvent>,
    /// As last told in `Connected`.
    track: Option<VideoTrack>,
    report: Option<SenderReport>,
    connected: Option<Instant>,
    began: Instant,
    last_frame: Instant,
    /// How long we waited for the receiver of events since the last frame: not the camera's silence.
    waited: Duration,
}

impl Receiver<'_> {
    async fn until_failure(&mut self) -> Failure {
        loop {
            let deadline = self.last_frame + self.waited + FRAME_WITHIN;
            let item = match tokio::time::timeout_at(deadline.into(), self.playing.items.next()).await {
                Ok(Some(Ok(item))) => item,
                Ok(Some(Err(error))) => return self.target.failed(super::failure::Step::Receive, &error),
                Ok(None) => return self.target.hung_up(),
                Err(_) => return self.target.silent(FRAME_WITHIN),
            };
            if let Err(failure) = self.item(item).await {
                return failure;
            }
        }
    }

    async fn item(&mut self, item: CodecItem) -> Result<(), Failure> {
        let arrival = Arrival { wall: clock::wall(), boot_us: clock::boot_us() };
        match item {
            CodecItem::VideoFrame(frame) if frame.stream_id() == self.playing.video => {
                self.video(frame, arrival).await
            }
            CodecItem::AudioFrame(frame) => {
                if let (Some((_, audio)), true) = (&self.playing.audio, self.connected.is_some()) {
                    let frame = audio_frame(&frame, audio, arrival);
                    self.tell(CameraEvent::Audio(frame)).await;
                }
                Ok(())
            }
            CodecItem::MessageFrame(message) => {
                if let Some((_, content_type)) = self.playing.metadata {
                    let body = Bytes::copy_from_slice(message.data());
                    self.tell(CameraEvent::Metadata { arrival, content_type, body }).await;
                }
                Ok(())
            }
            CodecItem::Rtcp(packet) if packet.stream_id() == self.playing.video => {
                self.report = sender_report(&packet).or(self.report);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn video(&mut self, frame: retina::codec::VideoFrame, arrival: Arrival) -> Result<(), Failure> {
        self.last_frame = clock::now();
        self.waited = Duration::ZERO;
        if frame.loss() > 0 && self.connected.is_some() {
            let detail = format!("{} video packets were lost", frame.loss());
            self.tell(CameraEvent::Hole { detail }).await;
        }
        if self.track.is_none() || frame.has_new_parameters() {
            self.look_at_parameters().await?;
        }
        // Without parameters no decoder can use it; without data (parameter sets alone) it is no picture.
        if self.track.is_none() || frame.data().is_empty() {
            return Ok(());
        }
        let time = frame.timestamp();
        let frame = VideoFrame {
            pts_90k: track::pts_90k(time),
            rtp: track::rtp(time),
            key: frame.is_random_access_point(),
            data: frame.into_data().into(),
            arrival,
            sender_report: self.report,
        };
        self.tell(CameraEvent::Video(frame)).await;
        Ok(())
    }

    /// Says `Connected` if the parameters are there and are not those told last.
    async fn look_at_parameters(&mut self) -> Result<(), Failure> {
        let stream = &self.playing.items.streams()[self.playing.video];
        let found = track::video(stream).map_err(|why| {
            self.target.unsupported(&format!("sends pictures that can't be recorded: {why}"))
        })?;
        let Some(video) = found else {
            if self.last_frame.saturating_duration_since(self.began) > PARAMETERS_WITHIN {
                return Err(self.target.unsupported(
                    "sends pictures without parameter sets, which no decoder can use: restart it, or shorten its keyframe interval",
                ));
            }
            return Ok(());
        };
        if self.track.as_ref() == Some(&video) {
            return Ok(());
        }
        let new_session = self.track.replace(video.clone()).is_none();
        self.connected.get_or_insert(self.last_frame);
        let audio = self.playing.audio.as_ref().map(|(_, track)| track.clone());
        self.tell(CameraEvent::Connected { video, audio, new_session }).await;
        Ok(())
    }

    async fn tell(&mut self, event: CameraEvent) {
        let asked = clock::now();
        super::run::tell(self.events, event).await;
        self.waited += clock::now().saturating_duration_since(asked);
    }
}

fn audio_frame(frame: &retina::codec::AudioFrame, track: &AudioTrack, arrival: Arrival) -> AudioFrame {
    AudioFrame {
        pts: track::pts_in(frame.timestamp(), track.clock_rate),
        data: Bytes::copy_from_slice(frame.data()),
        arrival,
    }
}

fn sender_report(packet: &ReceivedCompoundPacket) -> Option<SenderReport> {
    let report = packet.pkts().next()?.as_sender_report().ok()??;
    Some(SenderReport { ntp: report.ntp_timestamp().0, rtp: report.rtp_timestamp() })
}
