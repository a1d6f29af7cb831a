//! Speaks to a hub's or a site's HTTP surface.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

/// An answer that takes longer is none; downloads are not bound by it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to one daemon.
#[derive(Clone)]
pub struct Client {
    base: String,
    token: String,
    agent: ureq::Agent,
}

impl Client {
    /// For the daemon at `base` (`http://HOST:PORT`), with the token in a file.
    pub fn open(base: &str, token_file: &Path) -> anyhow::Result<Self> {
        let token = std::fs::read_to_string(token_file);
        let token = token.with_context(|| format!("read the token {}", token_file.display()))?;
        Ok(Self::new(base, token.trim()))
    }

    /// For the daemon at `base`, with a token.
    pub fn new(base: &str, token: &str) -> Self {
        let config =
            ureq::Agent::config_builder().timeout_connect(Some(TIMEOUT)).http_status_as_error(false).build();
        Self { base: base.trim_end_matches('/').to_owned(), token: token.to_owned(), agent: config.into() }
    }

    /// Gets JSON from a path below `/api/v1`.
    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        let (status, mut body) = self.open_body(path, Some(TIMEOUT))?;
        let mut text = String::new();
        body.read_to_string(&mut text).with_context(|| format!("read the answer of {}{path}", self.base))?;
        let value: Value =
            serde_json::from_str(&text).with_context(|| format!("{}{path} answered no JSON", self.base))?;
        if status == 200 {
            return Ok(value);
        }
        bail!("{}", refusal(&value, status))
    }

    /// Gets bytes from a path below `/api/v1`, as they come.
    pub fn download(&self, path: &str) -> anyhow::Result<Box<dyn Read + Send>> {
        let (status, mut body) = self.open_body(path, None)?;
        if status == 200 {
            return Ok(body);
        }
        let mut text = String::new();
        let _ = body.read_to_string(&mut text);
        let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        bail!("{}", refusal(&value, status))
    }

    fn open_body(&self, path: &str, limit: Option<Duration>) -> anyhow::Result<(u16, Box<dyn Read + Send>)> {
        let url = format!("{}/api/v1{path}", self.base);
        let request = self
            .agent
            .get(&url)
            .header("Authorization", format!("Bearer {}", self.token))
            .config()
            .timeout_global(limit)
            .build();
        let response =
            request.call().with_context(|| format!("ask {}: is the daemon running?", self.base))?;
        let status = response.status().as_u16();
        Ok((status, Box::new(response.into_body().into_reader())))
    }
}

fn refusal(value: &Value, status: u16) -> String {
    let error = value["error"].as_str().unwrap_or("it gave no reason");
    match &value["detail"] {
        Value::Null => format!("{error} ({status})"),
        Value::String(detail) => format!("{error}: {detail} ({status})"),
        detail => format!("{error}: {detail} ({status})"),
    }
}
