//! Which daemon a command speaks to, and with which token.

use std::io;
use std::time::Duration;

use anyhow::anyhow;
use ureq::http::{HeaderMap, header};

use super::token;
use super::words;
use crate::client::Client;

/// A daemon that says nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(60);

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

impl TargetArgs {
    /// Finds the address and the token. Nothing is sent yet.
    pub(super) fn open(&self) -> anyhow::Result<Client> {
        let env = std::env::var(AT).ok().filter(|at| !at.is_empty());
        let at = self.at.as_deref().or(env.as_deref()).unwrap_or(DEFAULT_AT);
        let base = address(at)?;
        let token = self.token.find(&base)?;
        Ok(Client::new(base, token, SILENCE))
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
}
