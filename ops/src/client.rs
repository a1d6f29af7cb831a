//! Speaks to a hub's or a site's HTTP surface: the one client of the commands, the demo and the tests.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use serde_json::Value;
use ureq::http::{HeaderMap, Response, header};
use wire::UnixMicros;

/// No connection by then is none.
const CONNECT: Duration = Duration::from_secs(10);
/// Answers but for downloads are shorter.
const ANSWER_BYTES_MAX: u64 = 256 << 20;
/// Clocks that differ by less are taken for the same: the daemon's is told in whole seconds.
const SAME_CLOCK: Duration = Duration::from_secs(2);

/// For people who have none, or the wrong one.
pub(crate) const WHERE_IT_LIES: &str = "The token is on the daemon's machine: by default in /var/lib/holdfast/hub/http-token at a hub, in \
     /var/lib/holdfast/site/http-token at a site (the folder is vault.dir, archive.dir). Give it with --token-file, \
     --token or HOLDFAST_TOKEN.";

/// What opens a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    /// Where it is from, for people.
    pub(crate) from: String,
}

/// A token; or, where none was given and none found, what to say when one is asked for.
pub(crate) type Found = Result<Token, String>;

impl Token {
    pub(crate) fn new(text: &str, from: String) -> anyhow::Result<Self> {
        let text = text.trim();
        let good = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        ensure!(good, "the token from {from} is empty or has spaces in it");
        Ok(Self { text: text.to_owned(), from })
    }

    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("read the token {}", file.display()))?;
        Self::new(&text, file.display().to_string())
    }
}

/// A daemon to ask.
pub struct Client {
    base: String,
    token: Found,
    agent: ureq::Agent,
}

/// What a daemon told, and when.
pub(crate) struct Answer {
    pub(crate) value: Value,
    /// The present by the daemon's clock.
    pub(crate) now: UnixMicros,
}

/// A daemon's no.
#[derive(Debug)]
pub(crate) struct Refused {
    message: String,
    /// All it said.
    pub(crate) body: Value,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refused {}

impl Client {
    /// For the daemon at `base` (`http://HOST:PORT`); one that says nothing for as long as `silence` is given
    /// up.
    pub(crate) fn new(base: String, token: Found, silence: Duration) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(silence))
            .http_status_as_error(false)
            .max_redirects(0)
            // The token is for the daemon only.
            .proxy(None)
            .build();
        Self { base, token, agent: config.into() }
    }

    /// For the daemon at `base`, with the token in a file.
    pub fn open(base: &str, token_file: &Path, silence: Duration) -> anyhow::Result<Self> {
        Ok(Self::new(base.to_owned(), Ok(Token::read(token_file)?), silence))
    }

    /// Asks for JSON below `/api/v1`.
    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        Ok(self.ask(path)?.value)
    }

    /// Its address.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Asks for JSON, and when it was told.
    pub(crate) fn ask(&self, path: &str) -> anyhow::Result<Answer> {
        let (headers, mut body) = self.download(path)?;
        let mut text = String::new();
        body.read_to_string(&mut text).with_context(|| format!("read the answer of {}", self.base))?;
        let value = serde_json::from_str(&text).map_err(|_| anyhow!(self.foreign("no JSON")))?;
        Ok(Answer { value, now: now(&headers, wire::clock::wall()) })
    }

    /// Asks for something to be done, below `/api/v1`.
    pub fn post(&self, path: &str, wish: &Value) -> anyhow::Result<Value> {
        let url = format!("{}/api/v1{path}", self.base);
        let mut request = self.agent.post(&url);
        if let Ok(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.text));
        }
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let response = request.send(wish.to_string()).map_err(|error| self.unreachable(&error))?;
        if response.status() != 200 {
            return Err(self.refused(response));
        }
        let mut text = String::new();
        let reader = response.into_body().into_with_config().limit(ANSWER_BYTES_MAX).reader();
        reader
            .take(ANSWER_BYTES_MAX)
            .read_to_string(&mut text)
            .with_context(|| format!("read the answer of {}", self.base))?;
        serde_json::from_str(&text).map_err(|_| anyhow!(self.foreign("no JSON")))
    }

    /// Asks for bytes, as they come.
    pub fn download(&self, path: &str) -> anyhow::Result<(HeaderMap, Box<dyn Read>)> {
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
            (ureq::Error::Timeout(_), _) => "the connection stands, but nothing came any more.",
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
                    let (from, lies) = (&token.from, WHERE_IT_LIES);
                    format!("{base} refuses the token from {from}: it is not this daemon's. {lies}")
                }
            },
            (_, Some(error)) => match body["detail"].as_str() {
                Some(detail) => format!("{error}: {detail}"),
                None => error.to_owned(),
            },
            _ => self.foreign(&format!("{status}")),
        };
        Refused { message: clean(&message), body }.into()
    }

    /// What to say about something that is not Holdfast.
    pub(crate) fn foreign(&self, what: &str) -> String {
        format!(
            "{} answered {what}, which is not what a Holdfast hub or site answers; is --at right?",
            self.base
        )
    }
}

/// The daemon's clock, if it told another time than ours.
fn now(headers: &HeaderMap, ours: UnixMicros) -> UnixMicros {
    let date = headers.get(header::DATE).and_then(|date| date.to_str().ok());
    let theirs = date.and_then(|date| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok());
    let Some(theirs) = theirs.map(|at| UnixMicros(at.as_microsecond())) else { return ours };
    let differ = theirs.since(ours).max(ours.since(theirs));
    if differ > SAME_CLOCK { theirs } else { ours }
}

/// [`clean`], line by line.
pub(crate) fn clean_lines(text: &str) -> String {
    text.lines().map(|line| clean(line) + "\n").collect()
}

/// What daemons and cameras tell may hold anything; a terminal gets no control characters of theirs.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
