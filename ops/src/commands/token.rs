//! Finds the token to show: as given, from the environment, or where a daemon on this machine keeps it.

use std::io;
use std::path::{Path, PathBuf};

use site_agent::config::defaults;

use crate::client::{Found, Token, WHERE_IT_LIES};

const TOKEN: &str = "HOLDFAST_TOKEN";

/// How a token may be given.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Whom to ask")]
pub(super) struct TokenArgs {
    /// A file with the token [default: where a daemon on this machine keeps it]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The token itself; others on this machine see it [env: HOLDFAST_TOKEN]
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    token: Option<String>,
}

impl TokenArgs {
    /// The token for the daemon at `base`.
    pub(super) fn find(&self, base: &str) -> anyhow::Result<Found> {
        let folders = [defaults::VAULT_DIR, defaults::ARCHIVE_DIR].map(Path::new);
        self.find_in(base, std::env::var(TOKEN).ok(), folders)
    }

    fn find_in(&self, base: &str, env: Option<String>, folders: [&Path; 2]) -> anyhow::Result<Found> {
        if let Some(text) = &self.token {
            return Token::new(text, "--token".to_owned()).map(Ok);
        }
        if let Some(file) = &self.token_file {
            return Token::read(file).map(Ok);
        }
        if let Some(text) = env.filter(|text| !text.is_empty()) {
            return Token::new(&text, TOKEN.to_owned()).map(Ok);
        }
        // What opens a daemon here is not sent to another machine.
        if !is_here(base) {
            return Ok(Err(format!("{base} wants a token. {WHERE_IT_LIES}")));
        }
        look_in(base, folders)
    }
}

/// Looks where daemons keep theirs.
fn look_in(base: &str, [hub, site]: [&Path; 2]) -> anyhow::Result<Found> {
    let site_first = base.ends_with(port_of(defaults::SITE_HTTP_LISTEN));
    let folders = if site_first { [site, hub] } else { [hub, site] };
    let mut out_of_reach = None;
    for folder in folders {
        let file = folder.join("http-token");
        match std::fs::read_to_string(&file) {
            Ok(text) => return Token::new(&text, file.display().to_string()).map(Ok),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => out_of_reach = out_of_reach.or(Some((file, error))),
        }
    }
    Ok(Err(match out_of_reach {
        Some((file, error)) => format!(
            "{base} wants a token, and {} can't be read: {error}. Run this as root or as the daemon's user, or give \
             the token with --token-file, --token or {TOKEN}.",
            file.display()
        ),
        None => format!(
            "{base} wants a token, and none lies in {} or {}. {WHERE_IT_LIES}",
            hub.display(),
            site.display()
        ),
    }))
}

fn port_of(listen: &str) -> &str {
    listen.rfind(':').map_or(listen, |colon| &listen[colon..])
}

/// Is this an address of this machine only?
fn is_here(base: &str) -> bool {
    let uri: Option<ureq::http::Uri> = base.parse().ok();
    let Some(host) = uri.as_ref().and_then(|uri| uri.host()) else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "http://127.0.0.1:8080";

    #[test]
    fn what_is_given_wins() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "from-a-file\n").unwrap();
        let nowhere = [dir.path(), dir.path()];
        let env = || Some("from-env".to_owned());
        let given = TokenArgs { token: Some("given".into()), token_file: None };
        assert_eq!(given.find_in(HERE, env(), nowhere).unwrap().unwrap().text, "given");
        let by_file = TokenArgs { token: None, token_file: Some(file) };
        assert_eq!(by_file.find_in(HERE, env(), nowhere).unwrap().unwrap().text, "from-a-file");
        let none = TokenArgs::default();
        assert_eq!(none.find_in("http://hub:8080", env(), nowhere).unwrap().unwrap().from, TOKEN);
        assert!(none.find_in(HERE, Some("two words".into()), nowhere).is_err());
    }

    #[test]
    fn a_daemon_here_has_its_token_here() {
        let dir = tempfile::tempdir().unwrap();
        let (hub, site) = (dir.path().join("hub"), dir.path().join("site"));
        let find = |base: &str| TokenArgs::default().find_in(base, None, [&hub, &site]).unwrap();
        let error = find(HERE).unwrap_err();
        assert!(error.contains("/hub or ") && error.contains("--token-file"), "{error}");
        for folder in [&hub, &site] {
            std::fs::create_dir(folder).unwrap();
        }
        std::fs::write(site.join("http-token"), "sites").unwrap();
        assert_eq!(find(HERE).unwrap().text, "sites");
        std::fs::write(hub.join("http-token"), "hubs").unwrap();
        assert_eq!(find("http://[::1]:8080").unwrap().text, "hubs");
        assert_eq!(find("http://localhost:8081").unwrap().text, "sites");
        // Nobody elsewhere gets to see it.
        for base in ["http://10.0.0.1:8080", "http://localhost.example:8080"] {
            assert!(find(base).unwrap_err().contains("wants a token. The token"), "{base}");
        }
    }
}
