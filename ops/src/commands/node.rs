//! `holdfast node add`, `remove`, `revoke`, `backup`: which nodes the hub has, and what they have agreed on.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::json;
use site_agent::private_file;

use super::target::TargetArgs;
use super::wish::Common;

/// Arguments of `holdfast node`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Clone, Debug)]
enum What {
    /// Let a node vote that runs already and waits to be called
    Add(Add),
    /// Let a node vote no more, for ever
    Remove(Remove),
    /// Trust a node no more, for ever: it is cut off, and cameras whose passwords it may have are named
    Revoke(Revoke),
    /// Save what the nodes have agreed on, for `dc-hub restore` when most of them are lost
    Backup(Backup),
}

#[derive(clap::Args, Clone, Debug)]
struct Backup {
    /// Where to; a file that is there is replaced
    file: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(clap::Args, Clone, Debug)]
struct Add {
    /// Its name and where sites and the other nodes reach it, as hub-4=hub-4.example.com:7443
    #[arg(value_name = "NAME=ADDRESS")]
    node: String,
    /// Its id, as in its configuration: higher than any that was ever given
    #[arg(long)]
    id: u64,
    /// It only votes, and keeps no vault
    #[arg(long)]
    witness: bool,
    /// Two voters are wanted, though the hub then stops whenever either does
    #[arg(long)]
    two_voters: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args, Clone, Debug)]
struct Remove {
    /// Which node
    name: String,
    /// It is lost for good, with the vaults it keeps
    #[arg(long)]
    lost: bool,
    /// Two voters are wanted, though the hub then stops whenever either does
    #[arg(long)]
    two_voters: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args, Clone, Debug)]
struct Revoke {
    /// Which node
    name: String,
    /// Also if it keeps vaults, or a standby there has authority
    #[arg(long)]
    lost: bool,
    #[command(flatten)]
    common: Common,
}

/// Asks.
pub fn run(args: &Args) -> anyhow::Result<bool> {
    match &args.what {
        What::Add(add) => {
            let (name, address) = add.node.split_once('=').with_context(|| {
                format!(
                    "`{}` has no address: write NAME=HOST:PORT, so that sites and nodes find it",
                    add.node
                )
            })?;
            let wish = json!({
                "wish": "add", "node": add.id, "name": name, "address": address,
                "witness": add.witness, "two_voters": add.two_voters,
            });
            add.common.ask_at("/nodes", wish)
        }
        What::Remove(remove) => {
            let wish = json!({
                "wish": "remove", "name": remove.name, "lost": remove.lost, "two_voters": remove.two_voters,
            });
            remove.common.ask_at("/nodes", wish)
        }
        What::Backup(backup) => backup.save().map(|()| true),
        What::Revoke(revoke) => {
            let wish = json!({ "wish": "revoke", "name": revoke.name, "lost": revoke.lost });
            revoke.common.ask_at("/nodes", wish)
        }
    }
}

impl Backup {
    /// Whole or not at all: a backup is taken again and again over the last one.
    fn save(&self) -> anyhow::Result<()> {
        let export = self.target.open()?.get("/control/export")?;
        let sites = export["state"]["sites"].as_object().context("the hub answered something else")?.len();
        let name = self.file.file_name().and_then(|name| name.to_str()).context("FILE has no name")?;
        let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let text = serde_json::to_vec_pretty(&export)?;
        private_file::replace(folder.unwrap_or(Path::new(".")), name, &text)
            .with_context(|| format!("write {}", self.file.display()))?;
        super::print(&format!(
            "{}: {sites} sites, entry {}\n",
            self.file.display(),
            export["state"]["at"]["index"]
        ))
    }
}
