//! Which daemon a command speaks to, and with which token.

use std::fmt;
use std::io::{self, Read};
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde_json::Value;
use ureq::http::{HeaderMap, Response, header};
use wire::UnixMicros;

use super::token;
use super::words;

/// No connection by then is none.
const CONNECT: Duration = Duration::from_secs(10);
/// A daemon that says nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(60);
/// Answers but for downloads are shorter.
const ANSWER_BYTES_MAX: u64 = 256 << 20;
/// Clocks that differ by less are taken for the same: the daemon's is told in whole seconds.
const SAME_CLOCK: Duration = Duration::from_secs(2);

const AT: &str = "HOLDFAST_AT";
const DEFAULT_AT: &str = "http://127.0.0.1:8080";

/// Which daemon, and what to show it.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Whom to ask")]
pub(super) struct TargetArgs {
    /// The hub's or site's address [env: HOLDFAST_AT] [default: http://127.0.0.1:8080]
    #[arg(long, value_name = "URL")]
    at: Option<String>,
    #[command(flatten)]
    token: token::TokenArgs,
}

/// A daemon to ask.
pub(super) struct Target {
    base: String,
    token: token::Found,
    agent: ureq::Agent,
}

/// What a daemon told, and when.
pub(super) struct Answer {
    pub(super) value: Value,
    /// The present by the daemon's clock.
    pub(super) now: UnixMicros,
}

/// A daemon's no.
#[derive(Debug)]
pub(super) struct Refused {
    message: String,
    /// All it said.
    pub(super) body: Value,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refused {}

impl TargetArgs {
    /// Finds the address and the token. Nothing is sent yet.
    pub(super) fn open(&self) -> anyhow::Result<Target> {
        let env = std::env::var(AT).ok().filter(|at| !at.is_empty());
        let at = self.at.as_deref().or(env.as_deref()).unwrap_or(DEFAULT_AT);
        let base = address(at)?;
        let token = self.token.find(&base)?;
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(SILENCE))
            .http_status_as_error(false)
            .max_redirects(0)
            // The token is for the daemon only.
            .proxy(None)
            .build();
        Ok(Target { base, token, agent: config.into() })
    }
}

impl Target {
    /// Its address.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Asks for JSON.
    pub(super) fn get(&self, path: &str) -> anyhow::Result<Answer> {
        let (headers, mut body) = self.download(path)?;
        let mut text = String::new();
        body.read_to_string(&mut text).with_context(|| format!("read the answer of {}", self.base))?;
        let value = serde_json::from_str(&text).map_err(|_| anyhow!(self.foreign("no JSON")))?;
        Ok(Answer { value, now: now(&headers, wire::clock::wall()) })
    }

    /// Asks for bytes.
    pub(super) fn download(&self, path: &str) -> anyhow::Result<(HeaderMap, Box<dyn Read>)> {
        let url = format!("{}/api/v1{path}", self.base);
        let mut request = self.agent.get(&url);
        if let Ok(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.text));
        }
        let response = request.call().map_err(|error| self.unreachable(&error))?;
        if response.status() == 200 {
            let (parts, body) = response.into_parts();
            return Ok((parts.headers, Box::new(body.into_with_config().limit(u64::MAX).reader())));
        }
        Err(self.refused(response))
    }

    fn unreachable(&self, error: &ureq::Error) -> anyhow::Error {
        use io::ErrorKind::{ConnectionRefused, TimedOut};
        let kind = if let ureq::Error::Io(error) = error { Some(error.kind()) } else { None };
        let what = match (error, kind) {
            (_, Some(ConnectionRefused)) => {
                "nothing listens there. Is the daemon running (`systemctl status dc-hub site-agent`), and is this its \
                 http.listen?"
            }
            (ureq::Error::HostNotFound, _) => "there is no host of this name.",
            (ureq::Error::Timeout(ureq::Timeout::Connect), _) | (_, Some(TimedOut)) => {
                "the host does not answer. Is it up, and does a firewall let this port through?"
            }
            (ureq::Error::Timeout(_), _) => "the connection stands, but nothing came for a minute.",
            (ureq::Error::Protocol(_), _) => "what listens there does not speak HTTP.",
            (ureq::Error::Io(error), _) => &format!("{error}."),
            _ => &format!("{error}."),
        };
        let base = &self.base;
        anyhow!(
            "no answer from {base}: {what} Another address goes with --at; a hub's port is 8080, a site's 8081."
        )
    }

    fn refused(&self, response: Response<ureq::Body>) -> anyhow::Error {
        let status = response.status();
        let mut text = String::new();
        let reader = response.into_body().into_with_config().limit(ANSWER_BYTES_MAX).reader();
        let _ = reader.take(ANSWER_BYTES_MAX).read_to_string(&mut text);
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        let base = &self.base;
        let message = match (status.as_u16(), body["error"].as_str()) {
            (401, _) => match &self.token {
                Err(none) => none.clone(),
                Ok(token) => {
                    let (from, lies) = (&token.from, token::WHERE_IT_LIES);
                    format!("{base} refuses the token from {from}: it is not this daemon's. {lies}")
                }
            },
            (_, Some(error)) => match body["detail"].as_str() {
                Some(detail) => format!("{error}: {detail}"),
                None => error.to_owned(),
            },
            _ => self.foreign(&format!("{status}")),
        };
        Refused { message: super::table::clean(&message), body }.into()
    }

    /// What to say about something that is not Holdfast.
    pub(super) fn foreign(&self, what: &str) -> String {
        format!(
            "{} answered {what}, which is not what a Holdfast hub or site answers; is --at right?",
            self.base
        )
    }
}

/// `http://HOST:PORT` of what a person wrote or copied from somewhere.
fn address(text: &str) -> anyhow::Result<String> {
    let refused = || anyhow!("--at takes an address such as {DEFAULT_AT}, not `{text}`");
    let (scheme, rest) = text.trim().split_once("://").unwrap_or(("http", text.trim()));
    match scheme {
        "http" => {}
        "https" => {
            return Err(anyhow!(
                "`{text}`: this command does not speak TLS. Run it on the daemon's machine, or through \
                 `ssh -L 8080:127.0.0.1:8080 HOST` with the default address."
            ));
        }
        _ => return Err(refused()),
    }
    let rest = rest.split("/api/v1").next().unwrap_or(rest).trim_end_matches('/');
    let base = format!("http://{rest}");
    let uri: ureq::http::Uri = base.parse().map_err(|_| refused())?;
    let plain =
        uri.host().is_some_and(|host| !host.is_empty()) && uri.query().is_none() && !rest.contains('@');
    if !plain {
        return Err(refused());
    }
    let bare = uri.port().is_none() && !text.contains("://") && uri.path() == "/";
    Ok(if bare { format!("{base}:8080") } else { base })
}

/// The daemon's clock, if it told another time than ours.
fn now(headers: &HeaderMap, ours: UnixMicros) -> UnixMicros {
    let date = headers.get(header::DATE).and_then(|date| date.to_str().ok());
    let theirs = date.and_then(|date| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok());
    let Some(theirs) = theirs.map(|at| UnixMicros(at.as_microsecond())) else { return ours };
    let differ = theirs.since(ours).max(ours.since(theirs));
    if differ > SAME_CLOCK { theirs } else { ours }
}

/// How many bytes are to come, where the daemon says it.
pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What stands behind an error that came while bytes were coming.
pub(super) fn cut(base: &str, got: u64, error: &io::Error) -> anyhow::Error {
    let timed_out = error.kind() == io::ErrorKind::TimedOut || error.to_string().starts_with("timeout");
    let why = if timed_out { "nothing came for a minute".to_owned() } else { error.to_string() };
    anyhow!("the download from {base} broke off after {}: {why}", words::bytes(got))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_people_have_them() {
        for (text, expected) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://hub.example/", "http://hub.example"),
            ("127.0.0.1:8081", "http://127.0.0.1:8081"),
            ("hub", "http://hub:8080"),
            ("http://[::1]:8080/api/v1/status?token=x", "http://[::1]:8080"),
        ] {
            assert_eq!(address(text).unwrap(), expected, "{text}");
        }
        for text in ["", "http://", "ftp://hub", "http://hub?token=1", "http://a b", "http://me:secret@hub"] {
            assert!(address(text).unwrap_err().to_string().contains(DEFAULT_AT), "{text}");
        }
        assert!(address("https://hub").unwrap_err().to_string().contains("ssh -L"));
    }

    #[test]
    fn ages_are_told_by_the_daemons_clock() {
        let ours = UnixMicros(1_700_000_000_000_000);
        let told = |date: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::DATE, date.parse().unwrap());
            now(&headers, ours)
        };
        assert_eq!(now(&HeaderMap::new(), ours), ours);
        assert_eq!(told("Tue, 14 Nov 2023 22:13:19 GMT"), ours);
        assert_eq!(told("Tue, 14 Nov 2023 22:23:20 GMT"), ours + Duration::from_secs(600));
        assert_eq!(told("soon"), ours);
    }
}
