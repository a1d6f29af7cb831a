//! A control log begun anew from a saved one, when most of its nodes are lost.
//!
//! The node that does it has an id that nobody ever had, and is alone in the new log; the others are added. What the log
//! would be told by its old nodes, and what was agreed on after it was saved, is gone: epochs begin above all that were
//! ever seen, and vaults delete nothing until a person has looked.

use std::path::Path;

use anyhow::{Context, ensure};
use control_log::{Export, restore as write};
use decide::control::Role;
use decide::epoch::Generation;

use crate::config::Control;

/// Writes the log of this node, from the file `from`; what that means, for people.
pub fn restore(control: &Control, from: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(from).with_context(|| format!("read {}", from.display()))?;
    let export = Export::from_json(&text).with_context(|| format!("understand {}", from.display()))?;
    ensure!(
        control.role == Role::Full,
        "a witness keeps no vault and can't begin a log: restore at a full node"
    );
    let own = control.members.get(&control.node).context("control.member names this node")?.clone();
    let (name, node) = (own.name.clone(), control.node);
    // Epochs above what is in there a site shows itself (`Command::SeenEpoch`).
    let (seen, chance) = (Generation::default(), wire::clock::seed());
    std::fs::create_dir_all(&control.dir).with_context(|| format!("make {}", control.dir.display()))?;
    write(control.dir.clone(), &export, (node, own), seen, (wire::clock::wall(), chance))
        .context("begin the control log anew (an id that no node had goes into control.node)")?;
    let at = export.state.at().map_or(0, |at| at.index);
    Ok(format!(
        "{name} votes alone as node {}, from entry {at} as {} saved it, of {} sites. Start it; add the other nodes under new ids; \
         then look at the holds and say `holdfast confirm-deletion`",
        node.0,
        export.members.get(&export.node).map_or("a node", |member| member.name.as_str()),
        export.state.sites().len()
    ))
}
