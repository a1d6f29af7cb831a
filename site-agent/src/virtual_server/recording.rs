//! One stream being recorded: the camera's task, the recorder's thread, and what lies between them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::recorder::{Begin, Ending, Input, Recorder};
use crate::archive::ArchiveError;
use crate::camera::{self, CameraEvent, CameraTask, Prepared};

/// Frames between a camera's connection and its recorder: about 20 s of video. When the disk stalls for
/// longer the connection is no longer read, and the camera decides what it drops.
const QUEUE_FRAMES: usize = 512;
/// How often a recorder looks at the clock when no frames come.
const TICK: Duration = Duration::from_secs(1);

/// A stream that is being recorded, or was in this run.
pub(super) struct Recording {
    cancel: CancellationToken,
    ending: Arc<OnceLock<Ending>>,
    tasks: [JoinHandle<()>; 2],
    recorder: std::thread::JoinHandle<Begin>,
}

impl Recording {
    /// Starts both.
    pub(super) fn start(
        task: CameraTask,
        prepared: Option<Prepared>,
        recorder: Recorder,
    ) -> Result<Self, ArchiveError> {
        let (inputs, queue) = mpsc::channel(QUEUE_FRAMES);
        let ending = Arc::<OnceLock<Ending>>::default();
        let asked = ending.clone();
        let thread = std::thread::Builder::new()
            .name(format!("rec-{}", task.stream.id.camera()))
            .spawn(move || recorder.run(queue, || asked.get().copied().unwrap_or_default()))
            .map_err(|source| ArchiveError::Io {
                what: "start recorder",
                path: task.stream.id.as_str().into(),
                source,
            })?;
        let cancel = CancellationToken::new();
        let (events, received) = mpsc::channel(16);
        let camera = tokio::spawn(camera::run(task, prepared, events, cancel.clone()));
        let tasks = [camera, tokio::spawn(forward(received, inputs))];
        Ok(Self { cancel, ending, tasks, recorder: thread })
    }

    /// Tells it to end; it closes what is open in its own time.
    pub(super) fn end(&self, ending: Ending) {
        let _ = self.ending.set(ending); // the first word counts
        self.cancel.cancel();
    }

    /// Was it told to end?
    pub(super) fn is_ending(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Waits until everything it recorded is committed. `None` if its thread panicked: what it had open is
    /// taken in by the next run.
    pub(super) async fn ended(self) -> Option<Begin> {
        for task in self.tasks {
            let _ = task.await; // a camera task that panicked has nothing left to close
        }
        let recorder = self.recorder;
        tokio::task::spawn_blocking(move || recorder.join().ok()).await.ok().flatten()
    }
}

/// Passes a camera's events on, with the time in between; ends when the camera's task has ended.
async fn forward(mut events: mpsc::Receiver<CameraEvent>, inputs: mpsc::Sender<Input>) {
    let mut ticks = tokio::time::interval(TICK);
    loop {
        let input = tokio::select! {
            event = events.recv() => match event {
                Some(event) => Input::Camera(event),
                None => return,
            },
            _ = ticks.tick() => Input::Tick(wire::clock::wall()),
        };
        match input {
            Input::Camera(_) => {
                if inputs.send(input).await.is_err() {
                    return;
                }
            }
            // A full queue says that frames are coming; the time is of interest only when none do.
            Input::Tick(_) => drop(inputs.try_send(input)),
        }
    }
}
