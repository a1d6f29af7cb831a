//! From nothing to a playing session.

use std::future::Future;
use std::sync::Arc;

use media::AudioTrack;
use retina::client::{
    Credentials, Demuxed, Described, PlayOptions, Session, SessionGroup, SessionOptions, SetupOptions,
};
use retina::codec::FrameFormat;

use super::CameraTask;
use super::failure::{Failure, Step, Target};
use super::track;

/// A session that plays, and which of its streams is what.
pub(super) struct Playing {
    pub(super) items: Demuxed,
    pub(super) video: usize,
    pub(super) audio: Option<(usize, AudioTrack)>,
    pub(super) metadata: Option<(usize, &'static str)>,
}

/// DESCRIBE, SETUP for each stream that is wanted, PLAY; each may take the stream's `connect_timeout`.
///
/// Without a stream of pictures it fails. Sound and metadata are extras: a camera that does not let us
/// have them is recorded without.
pub(super) async fn connect(
    task: &CameraTask,
    target: &Target,
    group: &Arc<SessionGroup>,
) -> Result<Playing, Failure> {
    play(task, target, describe(task, target, group).await?).await
}

/// DESCRIBE.
pub(super) async fn describe(
    task: &CameraTask,
    target: &Target,
    group: &Arc<SessionGroup>,
) -> Result<Session<Described>, Failure> {
    let described = Session::describe(task.stream.url.clone(), session_options(task, group));
    Limit { task, target }.step(Step::Describe, described).await
}

/// SETUP and PLAY.
pub(super) async fn play(
    task: &CameraTask,
    target: &Target,
    mut session: Session<Described>,
) -> Result<Playing, Failure> {
    let limit = Limit { task, target };
    let Some(video) = session.streams().iter().position(track::is_video) else {
        let offered: Vec<_> = session.streams().iter().map(|stream| stream.encoding_name()).collect();
        return Err(target.no_video(&offered));
    };
    limit.step(Step::Setup, session.setup(video, setup_options(task))).await?;

    let mut audio = task.audio.then(|| wanted_audio(&session, task)).flatten();
    if let Some((index, _)) = audio
        && !limit.set_up_extra(&mut session, index).await?
    {
        audio = None;
    }
    let mut metadata = task.metadata.then(|| wanted_metadata(&session)).flatten();
    if let Some((index, _)) = metadata
        && !limit.set_up_extra(&mut session, index).await?
    {
        metadata = None;
    }

    let playing = session.play(task.stream.quirks.play(PlayOptions::default()));
    let playing = limit.step(Step::Play, playing).await?;
    let items = playing.demuxed().map_err(|error| target.failed(Step::Read, &error))?;
    Ok(Playing { items, video, audio, metadata })
}

struct Limit<'a> {
    task: &'a CameraTask,
    target: &'a Target,
}

impl Limit<'_> {
    async fn step<T>(
        &self,
        step: Step,
        action: impl Future<Output = Result<T, retina::Error>>,
    ) -> Result<T, Failure> {
        let limit = self.task.stream.connect_timeout;
        match tokio::time::timeout(limit, action).await {
            Ok(done) => done.map_err(|error| self.target.failed(step, &error)),
            Err(_) => Err(self.target.timed_out(step, limit)),
        }
    }

    /// `false` if the camera answered that it won't; it still talks to us then.
    async fn set_up_extra(&self, session: &mut Session<Described>, index: usize) -> Result<bool, Failure> {
        let limit = self.task.stream.connect_timeout;
        let name = session.streams()[index].encoding_name().to_owned();
        let set_up = session.setup(index, setup_options(self.task));
        let error = match tokio::time::timeout(limit, set_up).await {
            Ok(Ok(())) => return Ok(true),
            Ok(Err(error)) => error,
            Err(_) => return Err(self.target.timed_out(Step::Setup, limit)),
        };
        // A refused log-in is no matter of this one stream.
        if error.status_code().is_some_and(|code| code >= 400 && !matches!(code, 401 | 403)) {
            tracing::warn!(stream = %self.task.stream.id, %name, "camera won't send it: going on without");
            return Ok(false);
        }
        Err(self.target.failed(Step::Setup, &error))
    }
}

fn wanted_audio(session: &Session<Described>, task: &CameraTask) -> Option<(usize, AudioTrack)> {
    let (index, stream) = session.streams().iter().enumerate().find(|(_, stream)| track::is_audio(stream))?;
    match track::audio(stream) {
        Ok(track) => Some((index, track)),
        Err(why) => {
            tracing::warn!(stream = %task.stream.id, %why, "sound can't be recorded: going on without");
            None
        }
    }
}

fn wanted_metadata(session: &Session<Described>) -> Option<(usize, &'static str)> {
    let streams = session.streams().iter().enumerate();
    streams.filter_map(|(index, stream)| Some((index, track::metadata_type(stream)?))).next()
}

fn session_options(task: &CameraTask, group: &Arc<SessionGroup>) -> SessionOptions {
    let credentials = task.stream.credentials.as_ref().map(|known| Credentials {
        username: known.username.clone(),
        password: known.password.reveal().to_owned(),
    });
    let options = SessionOptions::default()
        .creds(credentials)
        .session_group(group.clone())
        .user_agent(concat!("holdfast/", env!("CARGO_PKG_VERSION")).to_owned());
    task.stream.quirks.session(options)
}

fn setup_options(task: &CameraTask) -> SetupOptions {
    task.stream.quirks.setup(SetupOptions::default().frame_format(FrameFormat::MP4))
}
