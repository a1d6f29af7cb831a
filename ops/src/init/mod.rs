//! `holdfast init`: a certificate authority of one's own, and a folder for the hub and each site, ready
//! to be copied to its machine.
//!
//! ```text
//! DIR/ca/          ca.pem  ca-key.pem                        stays with the operator
//! DIR/hub/         hub.toml  ca.pem  hub.pem  hub-key.pem    goes to the hub; DIR/<node>/ each where it has several
//! DIR/sites/<id>/  site.toml  ca.pem  site.pem  site-key.pem goes to the site
//! ```
//!
//! Guarantees: nothing that exists is written over; folders appear whole or not at all; keys and
//! passwords are readable by their owner only. Run again with other sites, it uses the same authority.

mod certs;
mod place;
mod plan;
mod template;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use wire::SiteId;
use wire::discover::HubAddress;

use certs::Authority;
use place::File;
pub use plan::{Camera, HubPlan, Made, Member, Plan, SitePlan, Stream};
use site_agent::config::defaults;

/// Arguments of `holdfast init`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The folder to make everything in. If it is there already, its certificate authority is used again.
    pub dir: PathBuf,
    /// A site to make; repeat for more.
    #[arg(long = "site", value_name = "ID", value_parser = site_id)]
    pub sites: Vec<SiteId>,
    /// The hub node to make. Default: hub-1, if DIR has no hub yet. For a hub of several nodes that decide together,
    /// repeat it with addresses at which sites and the other nodes reach each: NAME=HOST:PORT.
    #[arg(long, value_name = "NAME[=ADDRESS]")]
    pub hub: Vec<String>,
    /// Where sites find the hub: HOST:PORT, or the name of an SRV record. Default:
    /// hub.holdfast.internal:7443, which you add to their DNS.
    #[arg(long, value_name = "ADDRESS")]
    pub hub_address: Option<HubAddress>,
}

fn site_id(text: &str) -> Result<SiteId, wire::id::NameError> {
    SiteId::new(text)
}

/// `holdfast init`
pub fn run(args: Args) -> Result<()> {
    let mut plan = Plan::new(args.dir);
    let hubs = hubs(&args.hub)?;
    let none_yet = !has_hub(&plan.dir);
    plan.hub = hubs.first().cloned().or_else(|| none_yet.then(|| HubPlan::new(defaults::HUB_NAME)));
    plan.sites = args.sites.into_iter().map(SitePlan::new).collect();
    let address_given = args.hub_address.is_some();
    plan.hub_address = args.hub_address.unwrap_or(plan.hub_address);
    let made = init(&plan)?;
    let mut others = Vec::new();
    for hub in hubs.into_iter().skip(1) {
        others.extend(init(&Plan { hub: Some(hub), sites: Vec::new(), ..plan.clone() })?.hub);
    }
    print!("{}", next_steps(&made, &others, address_given));
    Ok(())
}

/// Is any folder in `dir` a hub node's?
fn has_hub(dir: &Path) -> bool {
    let folders = std::fs::read_dir(dir).into_iter().flatten().flatten();
    folders.into_iter().any(|folder| folder.file_name() == "hub" || folder.path().join("hub.toml").exists())
}

/// The hub nodes that are asked for: one by its name, or several with addresses.
fn hubs(asked: &[String]) -> Result<Vec<HubPlan>> {
    if let [one] = asked
        && !one.contains('=')
    {
        return Ok(vec![HubPlan::new(one)]);
    }
    let member = |text: &String| {
        let (name, address) = text.split_once('=').with_context(|| {
            format!("--hub {text} has no address: with several nodes write NAME=HOST:PORT for each, so that they find each other")
        })?;
        Ok(Member { name: name.to_owned(), address: address.to_owned() })
    };
    let members = asked.iter().map(member).collect::<Result<Vec<_>>>()?;
    ensure!(members.len() != 2, "two nodes decide nothing while either is down: make one, or three");
    let hub = |own: &Member| HubPlan {
        folder: Some(own.name.clone()),
        members: members.clone(),
        ..HubPlan::new(&own.name)
    };
    Ok(members.iter().map(hub).collect())
}

/// Makes what `plan` says.
pub fn init(plan: &Plan) -> Result<Made> {
    let ca = plan.dir.join("ca");
    let hub = plan.hub.as_ref().map(|hub| (hub, plan.dir.join(hub.folder.as_deref().unwrap_or("hub"))));
    let sites = plan.sites.iter().map(|site| (site, plan.dir.join("sites").join(site.id.as_str())));
    let sites: Vec<(&SitePlan, PathBuf)> = sites.collect();
    ensure!(
        hub.is_some() || !sites.is_empty(),
        "there is nothing to make: {} has a hub already; name a site with --site",
        plan.dir.display()
    );
    refuse_what_exists(hub.iter().map(|(_, to)| to).chain(sites.iter().map(|(_, to)| to)))?;

    let now = wire::clock::wall();
    let new = !ca.exists();
    let authority = if new { Authority::new(now)? } else { Authority::open(&ca, now)? };
    let mut folders = Vec::new();
    if new {
        folders.push((ca.clone(), 0o700, authority.files()));
    }
    if let Some((hub, to)) = &hub {
        let config = File::public("hub.toml", template::hub(hub));
        folders.push((to.clone(), 0o755, with(config, authority.hub(&hub.name)?)));
    }
    for (site, to) in &sites {
        // Cameras' passwords will be in it.
        let config = File::private(
            "site.toml",
            template::site(site, site.hub_address.as_ref().unwrap_or(&plan.hub_address)),
        );
        folders.push((to.clone(), 0o755, with(config, authority.site(&site.id)?)));
    }
    // Everything is made before anything is written, the authority first: without it the rest is worthless.
    for (to, mode, files) in &folders {
        place::folder(to, *mode, files)?;
    }
    Ok(Made {
        ca: (ca, new),
        hub: hub.map(|(_, to)| to.join("hub.toml")),
        sites: sites.into_iter().map(|(site, to)| (site.id.clone(), to.join("site.toml"))).collect(),
    })
}

fn with(config: File, mut files: Vec<File>) -> Vec<File> {
    files.insert(0, config);
    files
}

fn refuse_what_exists<'a>(folders: impl Iterator<Item = &'a PathBuf>) -> Result<()> {
    let (mut exist, mut seen) = (Vec::new(), Vec::new());
    for folder in folders {
        ensure!(!seen.contains(&folder), "{} is to be made twice; name each site once", folder.display());
        seen.push(folder);
        if folder.symlink_metadata().is_ok() {
            exist.extend(files_in(folder));
        }
    }
    if exist.is_empty() {
        return Ok(());
    }
    bail!(
        "nothing was made, since these exist already; move them away or choose other names:\n  {}",
        exist.join("\n  ")
    )
}

/// What is in a folder; the folder itself if that can't be said.
fn files_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<String> = entries.map(|entry| entry.path().display().to_string()).collect();
    files.sort();
    if files.is_empty() { vec![folder.display().to_string()] } else { files }
}

fn next_steps(made: &Made, others: &[PathBuf], address_given: bool) -> String {
    let mut steps = Vec::new();
    let (ca, new) = &made.ca;
    if *new {
        let ca = ca.display();
        steps.push(format!(
            "Keep {ca} off the machines, and a copy of it offline: who has it can be any site."
        ));
    }
    for config in made.hub.iter().chain(others) {
        let folder = config.parent().unwrap_or(config).display();
        steps.push(format!(
            "Copy {folder} to the hub's machine and start `dc-hub run --config hub.toml` in it."
        ));
    }
    for (site, config) in &made.sites {
        let folder = config.parent().unwrap_or(config).display();
        let config = config.display();
        steps.push(format!(
            "Add the cameras of {site} to {config}; `site-agent check --config {config}` checks it."
        ));
        steps.push(format!("Copy {folder} to the site and start `site-agent run --config site.toml` in it."));
    }
    if !address_given && !made.sites.is_empty() {
        let tell = "Make hub.holdfast.internal known to the sites' DNS, or write the hub's address into their \
                    [hub] sections.";
        steps.push(tell.to_owned());
    }
    let steps = steps.iter().enumerate().map(|(at, step)| format!("{}. {step}\n", at + 1));
    format!("Done. Next:\n{}", steps.collect::<String>())
}
