//! Configuration: one TOML file, then the environment, then every check that needs no network.
//!
//! Reading a configuration has three steps, each in a place of its own:
//!
//! 1. [`loader`] reads file and environment into a *schema*, whose keys are all optional, and collects
//!    unknown keys and wrong types. It is generic; the hub uses it too.
//! 2. [`check`] turns a schema into the typed configuration and collects what is missing, out of range
//!    or contradictory. Nothing after it validates again.
//! 3. [`report`] says what was found, to a person or to a script.
//!
//! Guarantees: all problems are reported at once where that is possible at all; each names a file (or
//! an environment variable) and a key and says what to do; no password is ever printed.
//!
//! Values are numbers with the unit in the key (`segment_s`, `fragment_ms`); the typed side has
//! [`std::time::Duration`]. All defaults are in [`defaults`].

pub mod accepted;
pub mod check;
pub mod congestion;
pub mod defaults;
pub mod disks;
mod host_check;
pub mod identity;
pub mod keep;
pub mod keys;
pub mod leaf;
pub mod loader;
mod paths_check;
pub mod quirks;
pub mod report;
mod schema;
mod site;
mod site_check;
#[cfg(test)]
mod tests;
mod uplink_check;
mod windows_check;

use std::path::Path;

pub use accepted::Accepted;
pub use identity::IdentityFiles;
pub use leaf::Secret;
pub use quirks::Quirks;
pub use report::{Outcome, Problem, report};
pub use schema::SITE_SECTIONS;
pub use site::{
    Allowance, Archive, Camera, Class, ClassLimit, Credentials, Drills, Host, Http, Hub, Restore, Site,
    SiteConfig, Standby, StandbyStream, Stream, Tier, Uplink, UplinkPath, When, Window,
};

/// Reads and checks a site's configuration, with this process's environment.
///
/// `Ok` carries warnings: the configuration works, but a person should look.
pub fn load_site(file: &Path) -> Outcome<SiteConfig> {
    load_site_with(file, loader::environment())
}

/// [`load_site`] with an environment passed in.
pub fn load_site_with(file: &Path, env: impl Iterator<Item = (String, String)>) -> Outcome<SiteConfig> {
    let (check, schema) = loader::load::<schema::SiteFile>(file, env).into_check();
    match schema {
        Some(schema) => site_check::check(schema, check),
        None => check.finish(None),
    }
}

/// The keys that a site's file may have at `path`, for example `camera[0].stream[0]`; `""` is the top.
pub fn site_keys(path: &str) -> &'static [&'static str] {
    keys::known::<schema::SiteFile>(&keys::parse(path))
}
