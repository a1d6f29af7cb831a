//! What a person asks for: checked against the log's state first, so that the answer says why not, then
//! proposed like everything else. What holds is still the log's `apply`.

use std::time::Duration;

use control_log::ProposeError;
use decide::control::{Command, Event, Plan, Refusal, Site, SiteSpec, TakeOverGround};
use decide::{HostId, SiteId};
use serde::Deserialize;
use wire::UnixMicros;

use super::Quorum;

/// The longest maintenance that can be declared at once.
const MAINTENANCE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// A wish about one site.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "wish", rename_all = "kebab-case")]
pub enum Wish {
    /// The standby takes over now, and keeps it until a person gives it back.
    Failover {
        /// To which host; the one with the place, unless said.
        to: Option<HostId>,
        /// Why.
        reason: String,
    },
    /// The site gets its authority back as soon as both sides overlap.
    Failback,
    /// The standby that has authority moves to another host.
    Relocate {
        /// Where to.
        to: HostId,
        /// Why.
        reason: String,
    },
    /// These hosts are tried first when a place is given out.
    Prefer {
        /// Best first.
        hosts: Vec<HostId>,
    },
    /// The site's recorder will be silent, and that is no fault.
    Maintenance {
        /// For how long; none ends it.
        for_s: Option<u64>,
    },
    /// The site is trusted no more, for ever: its connections end, and nobody stands by for it.
    Revoke,
}

/// A wish, and who has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Asked {
    /// What is wished.
    #[serde(flatten)]
    pub wish: Wish,
    /// Who, as the audit names them.
    pub by: String,
    /// Say only what would happen.
    #[serde(default)]
    pub dry_run: bool,
}

/// A person says that the vaults may delete again, after the log was restored.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Confirmed {
    /// Who, as the audit names them.
    pub by: String,
    /// Say only what would happen.
    #[serde(default)]
    pub dry_run: bool,
}

/// Why a wish came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum No {
    /// The hub doesn't know the site.
    #[error("site `{0}` is not known to the hub's control log: has its agent ever connected?")]
    UnknownSite(SiteId),
    /// It makes no sense now.
    #[error("{0}")]
    Unsafe(String),
    /// The log refused it.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// It did not get into the log, or nobody knows.
    #[error("{0}")]
    Unproposed(#[from] ProposeError),
}

/// What came of a wish.
#[derive(Debug, serde::Serialize)]
pub struct Came {
    /// The entry of the log, but for a dry run.
    pub index: Option<u64>,
    /// What it changed at once.
    pub events: Vec<Event>,
    /// In words.
    pub says: String,
}

impl Quorum {
    /// Lets vaults delete again, or says why not.
    pub async fn confirm_deletion(&self, asked: Confirmed) -> Result<Came, No> {
        let state = self.log().state();
        if !state.deletion_suspended() {
            return Err(No::Unsafe("deletion is not suspended: there is nothing to confirm".to_owned()));
        }
        tracing::info!(by = asked.by, dry_run = asked.dry_run, "a person confirms deletion");
        let holds =
            state.sites().values().flat_map(|site| site.holds.values()).filter(|hold| hold.is_in_force());
        let says = format!(
            "every vault deletes again what its retention says; {} are in force and keep what they name",
            match holds.count() {
                1 => "1 hold".to_owned(),
                count => format!("{count} holds"),
            }
        );
        self.carry_out(Command::ConfirmDeletion { by: asked.by }, says, asked.dry_run).await
    }

    /// Carries a wish out, or says why not.
    pub async fn ask(&self, site: &SiteId, asked: Asked) -> Result<Came, No> {
        let state = self.log().state();
        let known = state.site(site).ok_or_else(|| No::UnknownSite(site.clone()))?;
        let (command, says) = command(site, known, &asked)?;
        tracing::info!(%site, by = asked.by, wish = ?asked.wish, dry_run = asked.dry_run, "a person asks");
        let came = self.carry_out(command, says, asked.dry_run).await?;
        match &asked.wish {
            Wish::Prefer { hosts } if !known.is_away() => {
                Ok(self.place(site, hosts, came, asked.dry_run).await)
            }
            _ => Ok(came),
        }
    }

    /// The place goes to the best of the preferred hosts that can have it, at once.
    async fn place(&self, site: &SiteId, hosts: &[HostId], mut came: Came, dry_run: bool) -> Came {
        for host in hosts {
            let command = Command::Place { site: site.clone(), host: Some(host.clone()) };
            match self.carry_out(command, format!("{host} stands by for it"), dry_run).await {
                Ok(placed) => {
                    came.says += &format!("; {}", placed.says);
                    came.events.extend(placed.events);
                    return came;
                }
                Err(No::Refused(Refusal::AlreadySo)) => {
                    came.says += &format!("; {host} stands by for it already");
                    return came;
                }
                Err(why) => came.says += &format!("; not yet: {why}"),
            }
        }
        came
    }

    async fn carry_out(&self, command: Command, says: String, dry_run: bool) -> Result<Came, No> {
        if dry_run {
            // What `apply` would say of the state as it is now.
            let mut copy = (*self.log().state()).clone();
            let stamp = copy.at().map(|at| decide::control::Stamp { index: at.index + 1, ..at });
            let stamp = stamp.ok_or_else(|| No::Unsafe("the control log is empty".to_owned()))?;
            let events = copy.apply(stamp, &command)?;
            return Ok(Came { index: None, events, says: format!("would: {says}") });
        }
        let proposed = self.log().propose(command).await?;
        Ok(Came { index: Some(proposed.index), events: proposed.outcome?, says })
    }
}

fn command(site: &SiteId, known: &Site, asked: &Asked) -> Result<(Command, String), No> {
    let no = |why: String| Err(No::Unsafe(why));
    let (site, expected, by) = (site.clone(), known.epoch, asked.by.clone());
    Ok(match &asked.wish {
        Wish::Failover { to, reason } => {
            if known.is_away() {
                return no(format!("{} has authority over {site} already: use relocate", known.holder()));
            }
            let Some(host) = to.clone().or_else(|| known.placement.clone()) else {
                return no(format!("no host has a place for {site}: see `holdfast why {site}`"));
            };
            let says = format!("{host} takes {site} over and keeps it until a person gives it back");
            let ground = TakeOverGround::Person { by, reason: reason.clone() };
            (Command::TakeOver { site, expected, host, ground }, says)
        }
        Wish::Relocate { to, reason } => {
            if !known.is_away() {
                return no(format!(
                    "{site} is at home: nothing to relocate; `holdfast prefer` says where it would go"
                ));
            }
            let ground = TakeOverGround::Person { by, reason: reason.clone() };
            let says = format!("{to} takes {site} over from {}", known.holder());
            (Command::TakeOver { site, expected, host: to.clone(), ground }, says)
        }
        Wish::Failback => {
            if !known.is_away() {
                return no(format!("{site} is at home: nothing to give back"));
            }
            let says = format!("{site} gets its authority back when both sides overlap by two keyframes");
            (Command::Failback { site, expected, by: Some(by) }, says)
        }
        Wish::Prefer { hosts } => {
            let says = match hosts.is_empty() {
                true => format!("{site} prefers no host any more"),
                false => format!(
                    "{site} prefers {}",
                    hosts.iter().map(HostId::as_str).collect::<Vec<_>>().join(", ")
                ),
            };
            let spec = SiteSpec { prefer: hosts.clone(), ..known.spec.clone() };
            (Command::SetSite { site, spec }, says)
        }
        Wish::Maintenance { for_s: Some(seconds) } => {
            let length = Duration::from_secs(*seconds);
            if length > MAINTENANCE_MAX || length.is_zero() {
                return no("maintenance is declared for 1 s to 7 days".to_owned());
            }
            let until = wire::clock::wall() + length;
            let says = format!("{site} is in maintenance for {seconds} s: its standby records meanwhile");
            let plan = Some(Plan::Maintenance { until: UnixMicros(until.0), by });
            (Command::Declare { site, plan }, says)
        }
        Wish::Revoke if known.revoked => return no(format!("{site} is revoked already")),
        Wish::Revoke => {
            let says = format!(
                "{site} is revoked: its connections end, and it never comes back under this name; what the hub has of it stays"
            );
            (Command::RevokeSite { site }, says)
        }
        Wish::Maintenance { for_s: None } => {
            if known.plan.is_none() {
                return no(format!("{site} is not in maintenance"));
            }
            let says = format!("{site}'s maintenance is over");
            (Command::Declare { site, plan: None }, says)
        }
    })
}
