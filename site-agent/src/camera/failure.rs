//! Why there are no frames: a cause for the archive, a pace for the next attempt, words for people.

use std::time::Duration;

use url::Url;
use wire::proto::GapCause;

use super::backoff::Pace;

/// Longer messages are cut: some hold whole packets.
const MESSAGE_CHARS_MAX: usize = 240;

/// An attempt or a session that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) cause: GapCause,
    pub(super) pace: Pace,
    pub(super) detail: String,
}

/// What was being done with the camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Describe,
    Setup,
    Play,
    /// Making sense of what DESCRIBE said of a stream.
    Read,
    Receive,
}

/// The camera as failures name it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    name: String,
    has_credentials: bool,
}

impl Target {
    pub(super) fn new(url: &Url, has_credentials: bool) -> Self {
        Self { name: format!("camera at {}", shown(url)), has_credentials }
    }

    /// From what retina says.
    pub(super) fn failed(&self, step: Step, error: &retina::Error) -> Failure {
        self.judge(step, error.status_code(), &error.to_string())
    }

    /// There was no answer in time.
    pub(super) fn timed_out(&self, step: Step, limit: Duration) -> Failure {
        let what = match step {
            Step::Describe => "did not answer",
            Step::Setup => "described its streams but did not set one up",
            Step::Play => "did not begin to play",
            Step::Read | Step::Receive => "sent nothing",
        };
        self.down(&format!("{what} within {} s: check its power, cable and address", limit.as_secs()))
    }

    /// It plays, but no picture came for `limit`.
    pub(super) fn silent(&self, limit: Duration) -> Failure {
        self.down(&format!(
            "sent no frame for {} s, though it is connected; connecting anew",
            limit.as_secs()
        ))
    }

    /// It hung up without a word.
    pub(super) fn hung_up(&self) -> Failure {
        self.down("closed the connection")
    }

    /// It has no video that can be recorded.
    pub(super) fn no_video(&self, offered: &[&str]) -> Failure {
        let offered = if offered.is_empty() { "no streams".to_owned() } else { offered.join(", ") };
        self.unsupported(&format!(
            "offers {offered}, but H.264 or H.265 is needed: change the encoding in its settings"
        ))
    }

    /// It sends something that can't be recorded.
    pub(super) fn unsupported(&self, what: &str) -> Failure {
        Failure { cause: GapCause::Unsupported, pace: Pace::Rarely, detail: format!("{} {what}", self.name) }
    }

    fn down(&self, what: &str) -> Failure {
        Failure { cause: GapCause::CameraDown, pace: Pace::Soon, detail: format!("{} {what}", self.name) }
    }

    fn refused(&self, pace: Pace, what: &str) -> Failure {
        Failure { cause: GapCause::CameraRefused, pace, detail: format!("{} {what}", self.name) }
    }

    fn judge(&self, step: Step, status: Option<u16>, message: &str) -> Failure {
        match status {
            Some(401) if !self.has_credentials => self.refused(
                Pace::Gently,
                "asks for a password (401), but none is configured: set username and password",
            ),
            Some(401) => {
                self.refused(Pace::Gently, "refused the password (401): check username and password")
            }
            Some(403) => self.refused(
                Pace::Gently,
                "forbids it (403): check the user's rights, and whether too many bad log-ins locked this address out",
            ),
            Some(404) => self.refused(Pace::Soon, "has no stream of this name (404): check the path in its url"),
            Some(code @ (453 | 503)) => self.refused(
                Pace::Gently,
                &format!("has no session left ({code}): close other viewers, or record another of its streams"),
            ),
            Some(code @ (415 | 461)) => self.unsupported(&format!(
                "can't send this stream as asked ({code}): check its encoding, and transport in this stream's configuration"
            )),
            Some(code) if code >= 400 => self.down(&format!("answered {} with error {code}", method(step))),
            _ if step == Step::Read => self.unsupported(&format!("sends what can't be read: {}", short(message))),
            _ => self.down(&format!("{}{}", said(step, message), hint(message))),
        }
    }
}

fn method(step: Step) -> &'static str {
    match step {
        Step::Describe | Step::Read => "DESCRIBE",
        Step::Setup => "SETUP",
        Step::Play => "PLAY",
        Step::Receive => "a request",
    }
}

fn said(step: Step, message: &str) -> String {
    let message = short(message);
    match (message.strip_prefix("Unable to connect to RTSP server: "), step) {
        (Some(why), _) => format!("can't be reached ({why}): check its power, cable and address"),
        (None, Step::Receive) => format!("stopped: {message}"),
        (None, _) => format!("did not answer {} properly: {message}", method(step)),
    }
}

/// What to set for cameras whose fault is known. Keys of a stream's configuration.
fn hint(message: &str) -> &'static str {
    const HINTS: &[(&str, &str)] = &[
        ("Expected rtptime on PLAY", "; set initial_timestamp = \"permissive\""),
        ("session id changed", "; set session_id = \"use-first\""),
        ("on unassigned channel", "; if this repeats, set unassigned_channel_data = \"ignore\""),
        ("wrong ssrc", "; if this repeats, set teardown = \"always\""),
        ("Timestamp jumped", "; its clock jumps: leave max_timestamp_jump_s out"),
    ];
    HINTS.iter().find(|(needle, _)| message.contains(needle)).map_or("", |(_, hint)| hint)
}

/// retina's messages begin with what happened; connection and packet follow after an empty line.
fn short(message: &str) -> String {
    let first = message.split("\n\n").next().unwrap_or_default();
    let line = first.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

/// A URL as it may be shown: some cameras take a password in its path or query.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Both fail only for URLs that can't have credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let mut shown = String::new();
    for part in url.as_str().split_inclusive(['?', '&', ';', '/']) {
        let secret = part.split_once('=').filter(|(key, _)| {
            let key = key.to_ascii_lowercase();
            ["pass", "pwd", "token", "auth", "key", "secret"].iter().any(|word| key.contains(word))
        });
        match secret {
            Some((key, value)) => {
                shown.push_str(key);
                shown.push_str("=…");
                shown.extend(value.chars().next_back().filter(|last| "?&;/".contains(*last)));
            }
            None => shown.push_str(part),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str, has_credentials: bool) -> Target {
        Target::new(&Url::parse(url).unwrap(), has_credentials)
    }

    fn judge(status: Option<u16>, message: &str) -> Failure {
        target("rtsp://10.0.0.5:554/main", true).judge(Step::Describe, status, message)
    }

    #[test]
    fn refusals_say_what_to_do_and_are_repeated_gently() {
        let failure = judge(Some(401), "Unauthorized");
        assert_eq!(
            failure.detail,
            "camera at rtsp://10.0.0.5:554/main refused the password (401): check username and password"
        );
        for status in [401, 403, 453, 503] {
            let failure = judge(Some(status), "no");
            assert_eq!((failure.cause, failure.pace), (GapCause::CameraRefused, Pace::Gently), "{status}");
            assert!(failure.detail.contains(&status.to_string()));
        }
        let open = target("rtsp://10.0.0.5/", false).judge(Step::Describe, Some(401), "");
        assert!(open.detail.contains("none is configured"), "{}", open.detail);
    }

    #[test]
    fn other_failures_are_judged_by_status_then_by_step() {
        assert_eq!(judge(Some(404), "").pace, Pace::Soon);
        assert_eq!(judge(Some(500), "").cause, GapCause::CameraDown);
        assert_eq!(judge(Some(461), "").cause, GapCause::Unsupported);
        assert_eq!(judge(Some(200), "no Session header").cause, GapCause::CameraDown);
        let read = target("rtsp://c/", true).judge(Step::Read, Some(200), "invalid H.264 clock rate 8000");
        assert_eq!((read.cause, read.pace), (GapCause::Unsupported, Pace::Rarely));
    }

    #[test]
    fn messages_are_one_line_without_addresses_of_packets() {
        let failure = judge(None, "Unable to connect to RTSP server: Connection refused (os error 111)");
        assert_eq!(
            failure.detail,
            "camera at rtsp://10.0.0.5:554/main can't be reached (Connection refused (os error 111)): \
             check its power, cable and address"
        );
        let failure = judge(None, "Error reading from RTSP peer: EOF\n\nconn: 1.2.3.4:5\nmsg: 77");
        assert!(failure.detail.ends_with("EOF"), "{}", failure.detail);
        assert!(judge(None, &"ü".repeat(5000)).detail.chars().count() < 400);
        assert!(judge(Some(200), "Expected rtptime on PLAY with").detail.contains("permissive"));
    }

    #[test]
    fn no_password_is_ever_shown() {
        let show = |url| shown(&Url::parse(url).unwrap());
        assert_eq!(
            show("rtsp://joe:secret@10.0.0.5/a?channel=1&subtype=0"),
            "rtsp://10.0.0.5/a?channel=1&subtype=0"
        );
        assert_eq!(
            show("rtsp://10.0.0.5/user=admin&password=secret&channel=1/x"),
            "rtsp://10.0.0.5/user=admin&password=…&channel=1/x"
        );
        assert_eq!(show("rtsp://10.0.0.5/x?PWD=secret"), "rtsp://10.0.0.5/x?PWD=…");
    }
}
