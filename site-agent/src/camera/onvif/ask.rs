//! The exchange with one camera: what has to be known, then the keyframe. Blocks its thread.

use std::time::{Duration, Instant};

use http_auth::{DigestClient, PasswordParams};
use ureq::http::{Response, header};
use ureq::{Agent, Body};
use url::Url;
use wire::clock;

use super::soap::{self, Question};
use super::{Learnt, Onvif};
use crate::config::Credentials;

/// A camera that takes longer for one answer is too slow to be of use.
const ANSWER_WITHIN: Duration = Duration::from_millis(1500);
/// Profiles of cameras with many of them take some 50 kB.
const ANSWER_BYTES_MAX: u64 = 512 << 10;

/// Why there is no keyframe. Never holds credentials.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    #[error("its ONVIF service can't be reached: {0}")]
    Unreachable(#[from] ureq::Error),
    #[error("its ONVIF service refuses with HTTP status {status}{}", .said.as_ref().map(|said| format!(": {said}")).unwrap_or_default())]
    Refused { status: u16, said: Option<String> },
    #[error("its ONVIF service wants a log-in that can't be given ({0})")]
    LogIn(String),
    #[error("none of its ONVIF profiles has an encoder")]
    NoProfile,
    #[error("its ONVIF service took too long")]
    TooLong,
}

/// Learns what has to be known, unless it is.
pub(super) fn prepare(
    onvif: &Onvif,
    log_in: Option<&Credentials>,
    deadline: Instant,
) -> Result<(), Unanswered> {
    if onvif.learnt().is_none() {
        learn(onvif, &Line::new(log_in, deadline))?;
    }
    Ok(())
}

/// Asks for a keyframe of each encoder.
pub(super) fn keyframe(
    onvif: &Onvif,
    log_in: Option<&Credentials>,
    deadline: Instant,
) -> Result<(), Unanswered> {
    let line = Line::new(log_in, deadline);
    let known = onvif.learnt();
    let fresh = known.is_none();
    let learnt = known.map_or_else(|| learn(onvif, &line), Ok)?;
    match all(&learnt, &line) {
        // A camera that was replaced, or set anew, has other profiles, or another clock.
        Err(Unanswered::Refused { .. }) if !fresh => {
            onvif.learn(None);
            all(&learn(onvif, &line)?, &line)
        }
        done => done,
    }
}

fn all(learnt: &Learnt, line: &Line<'_>) -> Result<(), Unanswered> {
    for profile in &learnt.profiles {
        line.ask(&learnt.media, Question::Keyframe(profile), Some(learnt.ahead_s))?;
    }
    Ok(())
}

fn learn(onvif: &Onvif, line: &Line<'_>) -> Result<Learnt, Unanswered> {
    let service = &onvif.service;
    // Whoever may not ask for the clock has one that is right.
    let told = line.ask(service, Question::Clock, None).ok().and_then(|answer| soap::clock(&answer));
    let ahead_s = told.map_or(0, |told| told - now_s());
    let media = match line.ask(service, Question::MediaService, Some(ahead_s)) {
        Ok(answer) => at_same_host(service, soap::media_service(&answer)),
        // Some serve everything at one address.
        Err(Unanswered::Refused { .. }) => service.clone(),
        Err(error) => return Err(error),
    };
    let profiles = soap::profiles(&line.ask(&media, Question::Profiles, Some(ahead_s))?);
    if profiles.is_empty() {
        return Err(Unanswered::NoProfile);
    }
    let learnt = Learnt { media, profiles, ahead_s };
    onvif.learn(Some(learnt.clone()));
    Ok(learnt)
}

/// Path and query of what the camera told, at the host and port that are configured: log-ins go nowhere else, and
/// behind an address translation cameras tell addresses that are theirs alone.
fn at_same_host(service: &Url, told: Option<&str>) -> Url {
    let mut media = service.clone();
    if let Some(told) = told.and_then(|told| Url::parse(told).ok()) {
        media.set_path(told.path());
        media.set_query(told.query());
    }
    media
}

struct Line<'a> {
    agent: Agent,
    log_in: Option<&'a Credentials>,
    deadline: Instant,
}

impl<'a> Line<'a> {
    fn new(log_in: Option<&'a Credentials>, deadline: Instant) -> Self {
        // Neither proxies nor redirects: the log-in is for this camera.
        let config = Agent::config_builder().max_redirects(0).proxy(None).http_status_as_error(false);
        Self { agent: config.build().new_agent(), log_in, deadline }
    }

    /// One question; with the camera's clock, with the log-in too. A camera that wants HTTP digest instead gets that.
    fn ask(&self, at: &Url, question: Question<'_>, ahead_s: Option<i64>) -> Result<String, Unanswered> {
        let log_in = self.log_in.filter(|_| ahead_s.is_some());
        let token = log_in
            .map(|known| soap::username_token(known, &clock::random_id(), now_s() + ahead_s.unwrap_or(0)));
        let body = question.envelope(token.as_deref());
        let mut response = self.post(at, question, &body, None)?;
        if let (401, Some(log_in)) = (response.status().as_u16(), log_in) {
            let answer = digest(&response, log_in, at)?;
            // The body without the token: some refuse what has two log-ins.
            response = self.post(at, question, &question.envelope(None), Some(&answer))?;
        }
        let status = response.status().as_u16();
        let said = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string()?;
        if status == 200 && soap::is_answer(&said, question) {
            return Ok(said);
        }
        Err(Unanswered::Refused { status, said: soap::complaint(&said) })
    }

    fn post(
        &self,
        at: &Url,
        question: Question<'_>,
        body: &str,
        authorization: Option<&str>,
    ) -> Result<Response<Body>, Unanswered> {
        let left = self.deadline.saturating_duration_since(clock::now()).min(ANSWER_WITHIN);
        if left.is_zero() {
            return Err(Unanswered::TooLong);
        }
        let kind = format!("application/soap+xml; charset=utf-8; action=\"{}\"", question.action());
        let mut request = self.agent.post(at.as_str()).header(header::CONTENT_TYPE, kind);
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        Ok(request.config().timeout_global(Some(left)).build().send(body)?)
    }
}

/// What answers a challenge. Only a digest: a password in plain text would be anybody's on the way.
fn digest(response: &Response<Body>, log_in: &Credentials, at: &Url) -> Result<String, Unanswered> {
    let told =
        response.headers().get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let mut refused = "it offers no digest".to_owned();
    for challenge in told.flat_map(|told| http_auth::parse_challenges(told).unwrap_or_default()) {
        if !challenge.scheme.eq_ignore_ascii_case("digest") {
            continue;
        }
        let answer = DigestClient::try_from(&challenge).and_then(|mut client| {
            client.respond(&PasswordParams {
                username: &log_in.username,
                password: log_in.password.reveal(),
                uri: &at[url::Position::BeforePath..url::Position::AfterQuery],
                method: "POST",
                body: None,
            })
        });
        match answer {
            Ok(answer) => return Ok(answer),
            Err(why) => refused = why,
        }
    }
    Err(Unanswered::LogIn(refused))
}

fn now_s() -> i64 {
    clock::wall().0 / 1_000_000
}
