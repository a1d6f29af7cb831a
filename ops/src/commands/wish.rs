//! `holdfast failover`, `failback`, `relocate`, `prefer`, `maintenance`, `revoke`, `confirm-deletion`: what people ask of the quorum. Each is
//! written down with who asked, and refused with a reason where it would be unsafe.

use std::time::Duration;

use serde_json::{Value, json};

use super::target::TargetArgs;
use super::{finish, print, print_json};
use crate::length;

/// What every wish has.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Common {
    /// Who asks, as the audit names them [default: this login]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Say only what would happen
    #[arg(long)]
    pub(super) dry_run: bool,
    /// The last line of the output is one JSON object
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) target: TargetArgs,
}

/// Arguments of `holdfast failover`.
#[derive(clap::Args, Clone, Debug)]
pub struct Failover {
    /// Which site
    site: String,
    /// To which host [default: the one with the place]
    #[arg(long, value_name = "HOST")]
    to: Option<String>,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT", default_value = "asked for")]
    reason: String,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `holdfast failback`.
#[derive(clap::Args, Clone, Debug)]
pub struct Failback {
    /// Which site
    site: String,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `holdfast relocate`.
#[derive(clap::Args, Clone, Debug)]
pub struct Relocate {
    /// Which site
    site: String,
    /// To which host
    #[arg(long, value_name = "HOST")]
    to: String,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT", default_value = "asked for")]
    reason: String,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `holdfast prefer`.
#[derive(clap::Args, Clone, Debug)]
pub struct Prefer {
    /// Which site
    site: String,
    /// Hosts, best first; none takes the preference back
    hosts: Vec<String>,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `holdfast revoke`.
#[derive(clap::Args, Clone, Debug)]
pub struct Revoke {
    /// Which site
    site: String,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `holdfast confirm-deletion`.
#[derive(clap::Args, Clone, Debug)]
pub struct ConfirmDeletion {
    #[command(flatten)]
    common: Common,
}

/// Arguments of `holdfast maintenance`.
#[derive(clap::Args, Clone, Debug)]
pub struct Maintenance {
    /// Does it begin or end?
    #[arg(value_enum)]
    switch: Switch,
    /// Which sites
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    sites: Vec<String>,
    /// Every site the hub knows
    #[arg(long)]
    all: bool,
    /// For how long, as 30m or 2h; only with `on`
    #[arg(long = "for", value_name = "TIME", default_value = "2h", value_parser = length::parse)]
    length: Duration,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Switch {
    /// It begins: the standby records meanwhile
    On,
    /// It is over
    Off,
}

impl Failover {
    /// Asks.
    pub fn run(&self) -> anyhow::Result<bool> {
        self.common.ask(&self.site, json!({ "wish": "failover", "to": self.to, "reason": self.reason }))
    }
}

impl Failback {
    /// Asks.
    pub fn run(&self) -> anyhow::Result<bool> {
        self.common.ask(&self.site, json!({ "wish": "failback" }))
    }
}

impl Relocate {
    /// Asks.
    pub fn run(&self) -> anyhow::Result<bool> {
        self.common.ask(&self.site, json!({ "wish": "relocate", "to": self.to, "reason": self.reason }))
    }
}

impl Prefer {
    /// Asks.
    pub fn run(&self) -> anyhow::Result<bool> {
        self.common.ask(&self.site, json!({ "wish": "prefer", "hosts": self.hosts }))
    }
}

impl Revoke {
    /// Asks.
    pub fn run(&self) -> anyhow::Result<bool> {
        self.common.ask(&self.site, json!({ "wish": "revoke" }))
    }
}

impl ConfirmDeletion {
    /// Asks.
    pub fn run(&self) -> anyhow::Result<bool> {
        self.common.ask_at("/confirm-deletion", json!({}))
    }
}

impl Maintenance {
    /// Asks for each site; one that refuses keeps none of the others from it.
    pub fn run(&self) -> anyhow::Result<bool> {
        let common = &self.common;
        let for_s = (self.switch == Switch::On).then_some(self.length.as_secs());
        let wish = json!({ "wish": "maintenance", "for_s": for_s });
        finish(
            common.json,
            (|| {
                let sites = if self.all { common.sites()? } else { self.sites.clone() };
                let mut answers = Vec::new();
                let mut ok = true;
                for site in &sites {
                    match common.post(site, wish.clone()) {
                        Ok(came) => {
                            common.say(&came)?;
                            answers.push(json!({ "site": site, "ok": true, "says": came["says"] }));
                        }
                        Err(error) => {
                            ok = false;
                            eprintln!("{site}: {error:#}");
                            answers.push(json!({ "site": site, "ok": false, "error": format!("{error:#}") }));
                        }
                    }
                }
                if common.json {
                    print_json(&json!({ "ok": ok, "sites": answers }))?;
                }
                Ok(ok)
            })(),
        )
    }
}

impl Common {
    /// Who asks.
    pub(super) fn who(&self) -> String {
        self.by.clone().unwrap_or_else(login)
    }

    fn ask(&self, site: &str, wish: Value) -> anyhow::Result<bool> {
        self.ask_at(&format!("/sites/{site}/wishes"), wish)
    }

    /// Asks, and says what came of it.
    pub(super) fn ask_at(&self, path: &str, wish: Value) -> anyhow::Result<bool> {
        finish(
            self.json,
            (|| {
                let mut came = self.post_to(path, wish)?;
                if self.json {
                    came["ok"] = json!(true);
                    print_json(&came)?;
                } else {
                    self.say(&came)?;
                }
                Ok(true)
            })(),
        )
    }

    fn post(&self, site: &str, wish: Value) -> anyhow::Result<Value> {
        self.post_to(&format!("/sites/{site}/wishes"), wish)
    }

    /// Asks for something to be done, as whoever asks.
    pub(super) fn post_to(&self, path: &str, mut wish: Value) -> anyhow::Result<Value> {
        wish["by"] = json!(self.who());
        wish["dry_run"] = json!(self.dry_run);
        self.target.open()?.post(path, &wish)
    }

    fn say(&self, came: &Value) -> anyhow::Result<()> {
        if self.json {
            return Ok(());
        }
        print(&format!("{}\n", crate::client::clean(came["says"].as_str().unwrap_or_default())))
    }

    fn sites(&self) -> anyhow::Result<Vec<String>> {
        let control = self.target.open()?.get("/control")?;
        Ok(control["sites"].as_object().into_iter().flatten().map(|(site, _)| site.clone()).collect())
    }
}

/// Who is logged in here.
fn login() -> String {
    let name = ["SUDO_USER", "LOGNAME", "USER"].iter().find_map(|name| std::env::var(name).ok());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "somebody".to_owned())
}
