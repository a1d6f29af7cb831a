//! Who speaks on a connection, and its messages as the deciding cores take them. Pure.
//!
//! The site is whom the certificate names, the run is the one that said hello, the cameras are those that it named
//! then: a beat can't speak for anybody else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use decide::beat::{Arrival, Beat, Bye, CameraBeat, CameraState, Durable};
use decide::epoch::{Epoch, Generation};
use decide::evidence::Answer;
use decide::{CameraId, PathId};
use site_agent::config::defaults::HOSTS_MAX;
use wire::{NameError, OriginId, SegmentNumber, SiteId, proto};

/// Streams of a site at most: more than any site has, and few enough that a beat of them is small.
const STREAMS_MAX: usize = 4096;

/// Why a message was not taken. It ends the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpeakerError {
    /// A name that can't be one.
    #[error("its hello: {0}")]
    Name(#[from] NameError),
    /// More than we take in.
    #[error("its hello names {0} streams, at most {STREAMS_MAX} are taken")]
    TooMany(usize),
    /// A camera without a stream, or named twice.
    #[error("its hello names camera `{0}` twice, or without a stream")]
    Camera(String),
    /// A beat of somebody else.
    #[error("it sent a beat of run {0}, and said hello as another")]
    Origin(OriginId),
    /// A beat that doesn't fit the hello.
    #[error("it sent a beat of {got} streams, and said hello with {expected}")]
    Streams {
        /// As in the beat.
        got: usize,
        /// As in hello.
        expected: usize,
    },
}

/// The run at the other end of a connection.
#[derive(Debug)]
pub struct Speaker {
    site: SiteId,
    origin: OriginId,
    path: PathId,
    arrival: Arrival,
    /// Each camera, with the place of its main stream.
    cameras: Vec<(CameraId, usize)>,
    /// `<camera>/<stream>`, in the order in which beats have them.
    streams: Arc<[String]>,
}

impl Speaker {
    /// From what it said first; `site` is from its certificate.
    pub fn new(site: &SiteId, hello: &proto::Hello) -> Result<Self, SpeakerError> {
        let count = hello.cameras.iter().map(|camera| camera.streams.len()).sum();
        if count > STREAMS_MAX {
            return Err(SpeakerError::TooMany(count));
        }
        let mut cameras: Vec<(CameraId, usize)> = Vec::with_capacity(hello.cameras.len());
        let mut streams = Vec::with_capacity(count);
        for camera in &hello.cameras {
            let id = CameraId::new(format!("{site}/{}", camera.id))?;
            if camera.streams.is_empty() || cameras.iter().any(|(known, _)| *known == id) {
                return Err(SpeakerError::Camera(camera.id.clone()));
            }
            cameras.push((id, streams.len()));
            streams.extend(camera.streams.iter().map(|stream| format!("{}/{stream}", camera.id)));
        }
        let path = PathId::new(&hello.path)?;
        Ok(Self {
            site: site.clone(),
            origin: OriginId::from_bytes(&hello.origin)?,
            arrival: Arrival::Direct(path.clone()),
            path,
            cameras,
            streams: streams.into(),
        })
    }

    /// Whose virtual server it runs.
    pub fn site(&self) -> &SiteId {
        &self.site
    }

    /// Which run it is.
    pub fn origin(&self) -> OriginId {
        self.origin
    }

    /// Over which path it speaks.
    pub fn path(&self) -> &PathId {
        &self.path
    }

    /// On which way its beats come.
    pub fn arrival(&self) -> &Arrival {
        &self.arrival
    }

    /// Its streams, in the order in which its beats have them.
    pub fn streams(&self) -> &[String] {
        &self.streams
    }

    /// A beat, if it is this run's.
    pub fn beat(&self, beat: &proto::Beat) -> Result<Beat, SpeakerError> {
        let origin = OriginId::from_bytes(&beat.origin)?;
        if origin != self.origin {
            return Err(SpeakerError::Origin(origin));
        }
        if beat.streams.len() != self.streams.len() {
            return Err(SpeakerError::Streams { got: beat.streams.len(), expected: self.streams.len() });
        }
        let camera = |(id, main): &(CameraId, usize)| camera(id, &beat.streams[*main]);
        Ok(Beat {
            origin,
            number: beat.number,
            epoch: beat.epoch.as_ref().map(epoch).unwrap_or_default(),
            log: beat.log,
            cameras: self.cameras.iter().map(camera).collect(),
        })
    }

    /// What its machine does for other sites. What makes no sense is left out: it harms nobody but who said it.
    pub fn beside(&self, beat: &proto::Beat) -> Vec<Beside> {
        beat.beside.iter().take(HOSTS_MAX).filter_map(|said| beside(said, beat.number)).collect()
    }

    /// A goodbye.
    pub fn bye(&self, bye: &proto::Bye) -> Bye {
        match bye.reason() {
            proto::ByeReason::Restart => Bye::Restart { back_in: Duration::from_secs(bye.back_in_s.into()) },
            // Whoever ends without a word of coming back is not waited for.
            proto::ByeReason::Shutdown | proto::ByeReason::Unspecified => Bye::Shutdown,
        }
    }
}

fn camera(id: &CameraId, main: &proto::StreamBeat) -> CameraBeat {
    use proto::RecordingState::{Connecting, Down, Recording, Refused, Unspecified};
    CameraBeat {
        camera: id.clone(),
        state: match main.state() {
            // A recorder that connects should record: one that never gets beyond it makes no progress.
            Recording | Connecting => CameraState::Recording,
            Down | Refused => CameraState::Down,
            Unspecified => CameraState::Idle,
        },
        durable: (main.fragment > 0)
            .then_some(Durable { segment: SegmentNumber(main.segment), fragment: main.fragment }),
        keyframes: main.keyframes,
    }
}

/// What a machine does for another site than its own, as it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// For which.
    pub site: SiteId,
    /// What it records, if it does.
    pub beat: Option<Beat>,
    /// The cameras that answered its last asking.
    pub answers: BTreeMap<CameraId, Answer>,
    /// For how long some has answered every asking, up to the last answer; nothing if none does.
    pub unbroken: Option<Duration>,
    /// How old that answer was when this was said.
    pub age: Duration,
}

fn beside(said: &proto::Beside, number: u64) -> Option<Beside> {
    let site = SiteId::new(&said.site).ok()?;
    let cameras = said.cameras.iter().take(STREAMS_MAX);
    let cameras: Vec<_> =
        cameras.filter_map(|said| Some((CameraId::new(format!("{site}/{}", said.id)).ok()?, said))).collect();
    let answer = |(id, said): &(CameraId, &proto::BesideCamera)| match said.answer() {
        proto::CameraAnswer::None => None,
        proto::CameraAnswer::Free => Some((id.clone(), Answer::Free)),
        proto::CameraAnswer::Busy => Some((id.clone(), Answer::Busy)),
    };
    let recorded = |(id, said): &(CameraId, &proto::BesideCamera)| Some(camera(id, said.recorder.as_ref()?));
    let beat = OriginId::from_bytes(&said.origin).ok().map(|origin| Beat {
        origin,
        number,
        epoch: said.epoch.as_ref().map(epoch).unwrap_or_default(),
        log: said.log,
        cameras: cameras.iter().filter_map(recorded).collect(),
    });
    let unbroken = (said.unbroken_ms > 0).then(|| Duration::from_millis(said.unbroken_ms));
    let age = Duration::from_millis(said.age_ms.into());
    Some(Beside { beat, answers: cameras.iter().filter_map(answer).collect(), unbroken, age, site })
}

fn epoch(epoch: &proto::Epoch) -> Epoch {
    Epoch { generation: Generation { count: epoch.generation, salt: epoch.salt }, n: epoch.n }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn hello() -> proto::Hello {
        let camera = |id: &str, streams: &[&str]| proto::Camera {
            id: id.to_owned(),
            name: id.to_owned(),
            streams: streams.iter().map(|stream| (*stream).to_owned()).collect(),
        };
        proto::Hello {
            origin: Bytes::from_static(&[7; 16]),
            cameras: vec![camera("till-1", &["main", "sub"]), camera("till-2", &["main"])],
            path: "wan".to_owned(),
            ..Default::default()
        }
    }

    fn speaker() -> Speaker {
        Speaker::new(&SiteId::new("shop-1").unwrap(), &hello()).unwrap()
    }

    fn beat() -> proto::Beat {
        let stream = |state: proto::RecordingState, fragment, keyframes| proto::StreamBeat {
            state: state.into(),
            segment: 4,
            fragment,
            keyframes,
            ..Default::default()
        };
        proto::Beat {
            number: 9,
            origin: Bytes::from_static(&[7; 16]),
            epoch: Some(proto::Epoch { generation: 1, salt: 2, n: 3 }),
            streams: vec![
                stream(proto::RecordingState::Recording, 5, 31),
                stream(proto::RecordingState::Refused, 1, 1),
                stream(proto::RecordingState::Down, 0, 0),
            ],
            ..Default::default()
        }
    }

    #[test]
    fn what_a_machine_does_for_others_is_typed_and_nonsense_left_out() {
        let camera = |id: &str, answer: proto::CameraAnswer, recorder| proto::BesideCamera {
            id: id.to_owned(),
            answer: answer.into(),
            recorder,
        };
        let recorder = Some(beat().streams[0].clone());
        let said = |site: &str, origin: &'static [u8], unbroken_ms| proto::Beside {
            site: site.to_owned(),
            cameras: vec![
                camera("till-1", proto::CameraAnswer::Free, recorder.clone()),
                camera("door-1", proto::CameraAnswer::None, None),
                camera("No Slug", proto::CameraAnswer::Busy, None),
            ],
            origin: Bytes::from_static(origin),
            log: 41,
            unbroken_ms,
            ..Default::default()
        };
        let all = vec![said("shop-2", &[8; 16], 900), said("No Slug", &[8; 16], 1), said("shop-3", b"", 0)];
        let [two, three] =
            <[Beside; 2]>::try_from(speaker().beside(&proto::Beat { beside: all, ..beat() })).unwrap();
        let till = CameraId::new("shop-2/till-1").unwrap();
        assert_eq!((two.site.as_str(), two.unbroken), ("shop-2", Some(Duration::from_millis(900))));
        assert_eq!(two.answers, BTreeMap::from([(till.clone(), Answer::Free)]));
        let run = two.beat.unwrap();
        assert_eq!((run.origin, run.number, run.log), (OriginId([8; 16]), 9, 41));
        assert_eq!((run.cameras.len(), &run.cameras[0].camera, run.cameras[0].keyframes), (1, &till, 31));
        assert_eq!((three.beat, three.unbroken), (None, None), "it records nothing, and asks nobody");
    }

    #[test]
    fn a_beat_tells_of_each_camera_by_its_main_stream() {
        let heard = speaker().beat(&beat()).unwrap();
        assert_eq!((heard.number, heard.origin), (9, OriginId([7; 16])));
        assert_eq!(heard.epoch, Epoch { generation: Generation { count: 1, salt: 2 }, n: 3 });
        let till = |n: u32| CameraId::new(format!("shop-1/till-{n}")).unwrap();
        let durable = Some(Durable { segment: SegmentNumber(4), fragment: 5 });
        assert_eq!(
            heard.cameras,
            [
                CameraBeat { camera: till(1), state: CameraState::Recording, durable, keyframes: 31 },
                CameraBeat { camera: till(2), state: CameraState::Down, durable: None, keyframes: 0 },
            ]
        );
    }

    #[test]
    fn nobody_beats_for_another_run_or_other_cameras() {
        let mut foreign = beat();
        foreign.origin = Bytes::from_static(&[8; 16]);
        assert_eq!(speaker().beat(&foreign), Err(SpeakerError::Origin(OriginId([8; 16]))));
        let mut short = beat();
        short.streams.pop();
        assert_eq!(speaker().beat(&short), Err(SpeakerError::Streams { got: 2, expected: 3 }));
    }

    #[test]
    fn a_hello_that_makes_no_sense_is_refused() {
        let site = SiteId::new("shop-1").unwrap();
        let refused = |spoil: &dyn Fn(&mut proto::Hello)| {
            let mut hello = hello();
            spoil(&mut hello);
            assert!(Speaker::new(&site, &hello).is_err(), "{hello:?}");
        };
        refused(&|hello| hello.path.clear());
        refused(&|hello| hello.origin = Bytes::new());
        refused(&|hello| hello.cameras[0].id = "Till 1".to_owned());
        refused(&|hello| hello.cameras[1].id = "till-1".to_owned());
        refused(&|hello| hello.cameras[1].streams.clear());
        refused(&|hello| hello.cameras[1].streams = vec!["main".to_owned(); 4096]);
    }

    #[test]
    fn a_goodbye_without_a_word_of_coming_back_is_a_shutdown() {
        let say = |reason: proto::ByeReason, back_in_s| {
            speaker().bye(&proto::Bye { reason: reason.into(), back_in_s, number: 1 })
        };
        assert_eq!(say(proto::ByeReason::Unspecified, 5), Bye::Shutdown);
        assert_eq!(say(proto::ByeReason::Shutdown, 5), Bye::Shutdown);
        assert_eq!(say(proto::ByeReason::Restart, 5), Bye::Restart { back_in: Duration::from_secs(5) });
    }
}
