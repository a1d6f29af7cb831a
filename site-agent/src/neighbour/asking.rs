//! Which cameras of another site answer here, and for how long some have without a break: evidence for the hub that it
//! is the recorder that is silent, and not the place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use wire::proto::CameraAnswer;

use super::Hosted;
use crate::beats::Beats;
use crate::probe::{self, Answer, Asked, Target};

/// Answers that wait.
const ASKED: usize = 256;
/// So long without any answer is a break: an asking and its deadline.
const BREAK_AFTER: Duration = probe::EVERY.saturating_add(probe::DEADLINE);

/// What the cameras of one site answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Asking {
    answers: BTreeMap<String, Answer>,
    /// Some camera has answered every asking since then, and the last answer came then.
    held: Option<(Instant, Instant)>,
}

impl Asking {
    fn handle(&mut self, now: Instant, (camera, answer): Asked<String>) {
        let Some(answer) = answer else {
            self.answers.remove(&camera);
            return;
        };
        let since = match self.held {
            Some((since, last)) if now.saturating_duration_since(last) <= BREAK_AFTER => since,
            _ => now,
        };
        self.held = Some((since, now));
        self.answers.insert(camera, answer);
    }

    /// For how many ms there has been no break up to the last answer, and how old that is; nothing once there is a break.
    /// A first answer counts for 1.
    pub(super) fn held(&self, now: Instant) -> Option<(u64, u32)> {
        let (since, last) = self.held?;
        let age = now.saturating_duration_since(last);
        let unbroken = last.saturating_duration_since(since).as_millis().max(1);
        (age <= BREAK_AFTER).then(|| {
            (u64::try_from(unbroken).unwrap_or(u64::MAX), u32::try_from(age.as_millis()).unwrap_or(u32::MAX))
        })
    }

    /// What a camera answered to the last asking.
    pub(super) fn answer(&self, camera: &str) -> CameraAnswer {
        match self.answers.get(camera) {
            None => CameraAnswer::None,
            Some(Answer::Free) => CameraAnswer::Free,
            Some(Answer::Busy) => CameraAnswer::Busy,
        }
    }
}

/// Asks for as long as the place of the site's standby is here.
pub(super) async fn run(hosted: &Hosted, beats: &Beats) {
    let site = &hosted.host.site;
    let cameras = hosted.host.cameras.iter();
    let targets: Vec<_> =
        cameras.filter_map(|camera| Target::of(camera.id.clone(), camera)).map(Arc::new).collect();
    loop {
        beats.until_hosting(site, |told| told.ask).await;
        tracing::info!(%site, "standing by for another site: asking its cameras");
        let (asked, mut answers) = mpsc::channel(ASKED);
        let asking = probe::ask_all(&targets, &asked);
        let take = async {
            while let Some(answer) = answers.recv().await {
                hosted.asking().handle(wire::clock::now(), answer);
            }
        };
        tokio::select! {
            () = take => {}
            () = beats.until_hosting(site, |told| !told.ask) => {}
        }
        drop(asking);
        *hosted.asking() = Asking::default();
        tracing::info!(%site, "no longer standing by for it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_break_is_an_asking_that_nobody_answered() {
        let (mut asking, began) = (Asking::default(), wire::clock::now());
        let at = |ms| began + Duration::from_millis(ms);
        let answers = |asking: &mut Asking, ms, answer| asking.handle(at(ms), ("till-1".to_owned(), answer));
        assert_eq!(asking.held(at(0)), None);
        answers(&mut asking, 0, Some(Answer::Free));
        assert_eq!(asking.held(at(0)), Some((1, 0)));
        answers(&mut asking, 900, Some(Answer::Busy));
        assert_eq!((asking.held(at(1_000)), asking.answer("till-1")), (Some((900, 100)), CameraAnswer::Busy));
        answers(&mut asking, 1_400, None);
        assert_eq!(
            (asking.held(at(1_900)), asking.answer("till-1")),
            (Some((900, 1_000)), CameraAnswer::None)
        );
        assert_eq!(asking.held(at(1_901)), None, "nobody answers any more");
        answers(&mut asking, 2_000, Some(Answer::Free));
        assert_eq!(asking.held(at(2_000)), Some((1, 0)), "it begins anew");
    }
}
