//! Does what a recorder says it records become durable?

use super::Timers;
use crate::beat::{Beat, CameraState, Durable};
use crate::ids::CameraId;
use crate::time::Boot;

/// One camera of one run.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    pub(super) camera: CameraId,
    pub(super) keyframes: u64,
    state: CameraState,
    durable: Option<Durable>,
    /// When it last gave something new, or was not asked to.
    moved: Boot,
}

impl Progress {
    pub(super) fn is_recording(&self) -> bool {
        self.state == CameraState::Recording && self.durable.is_some()
    }

    pub(super) fn is_stalled(&self, now: Boot, timers: &Timers) -> bool {
        self.state != CameraState::Idle && now.since(self.moved) > timers.progress
    }
}

/// Takes over what a beat says. Cameras come in the same order every time, so the search is a look.
pub(super) fn update(cameras: &mut Vec<Progress>, now: Boot, beat: &Beat) {
    for (at, said) in beat.cameras.iter().enumerate() {
        let place = match cameras.get(at) {
            Some(known) if known.camera == said.camera => Some(at),
            _ => cameras.iter().position(|known| known.camera == said.camera),
        };
        let Some(known) = place.map(|place| &mut cameras[place]) else {
            cameras.push(Progress {
                camera: said.camera.clone(),
                keyframes: said.keyframes,
                state: said.state,
                durable: said.durable,
                moved: now,
            });
            continue;
        };
        if said.state == CameraState::Idle || said.durable > known.durable {
            known.moved = now;
        }
        (known.state, known.durable, known.keyframes) = (said.state, said.durable, said.keyframes);
    }
    if cameras.len() > beat.cameras.len() {
        cameras.retain(|known| beat.cameras.iter().any(|said| said.camera == known.camera));
    }
}
