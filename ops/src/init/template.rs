//! The configurations that are written: templates with every key, its default and its meaning.

use std::fmt::Write;

use site_agent::config::Tier;
use site_agent::config::check::Choice;
use site_agent::config::congestion::Controller;
use site_agent::config::defaults;
use wire::Replicate;
use wire::discover::HubAddress;

use super::plan::{Camera, HubPlan, SitePlan};

const SITE: &str = include_str!("site.toml");
const HUB: &str = include_str!("hub.toml");

/// The one of the hub's two addresses that is not used.
const NO_ADDRESS: &str = "#address = \"hub.example.com:7443\"";
const NO_SRV: &str = "#srv = \"_holdfast._udp.example.com\"";

/// A site's configuration.
pub(super) fn site(plan: &SitePlan, hub: &HubAddress) -> String {
    let name = plan.name.clone().unwrap_or_else(|| plan.id.to_string());
    let (address, srv) = match hub {
        HubAddress::Fixed { .. } => (format!("address = {}", quote(&hub.to_string())), NO_SRV.to_owned()),
        HubAddress::Srv(name) => (NO_ADDRESS.to_owned(), format!("srv = {}", quote(name))),
    };
    let mut text = fill(
        SITE,
        &[
            ("id", quote(plan.id.as_str())),
            ("name", quote(&name)),
            ("address", address),
            ("srv", srv),
            ("congestion", quote(Controller::default().word())),
            ("beat_ms", plan.beat_ms.unwrap_or(defaults::BEAT_MS).to_string()),
            ("archive_dir", quote(plan.archive_dir.as_deref().unwrap_or(defaults::ARCHIVE_DIR))),
            ("segment_s", plan.segment_s.unwrap_or(defaults::SEGMENT_S).to_string()),
            ("free_low_mb", plan.free_mb.map_or(defaults::FREE_LOW_MB, |(low, _)| low).to_string()),
            ("free_high_mb", plan.free_mb.map_or(defaults::FREE_HIGH_MB, |(_, high)| high).to_string()),
            ("ballast_mb", plan.ballast_mb.unwrap_or(defaults::BALLAST_MB).to_string()),
            ("fragment_ms", plan.fragment_ms.unwrap_or(defaults::FRAGMENT_MS).to_string()),
            ("http_listen", quote(plan.http_listen.as_deref().unwrap_or(defaults::SITE_HTTP_LISTEN))),
            ("tier", quote(plan.tier.as_deref().unwrap_or(Tier::default().word()))),
        ],
    );
    for camera in &plan.cameras {
        // Writing to a string can't fail.
        let _ = write_camera(&mut text, camera);
    }
    text
}

/// A hub node's configuration.
pub(super) fn hub(plan: &HubPlan) -> String {
    fill(
        HUB,
        &[
            ("name", quote(&plan.name)),
            ("listen", quote(plan.listen.as_deref().unwrap_or(defaults::HUB_LISTEN))),
            ("congestion", quote(Controller::default().word())),
            ("node", node(plan).to_string()),
            ("control_dir", quote(plan.control_dir.as_deref().unwrap_or(defaults::CONTROL_DIR))),
            ("members", members(plan)),
            ("streams_max", defaults::STANDBY_STREAMS_MAX.to_string()),
            ("rate_mbit_max", defaults::STANDBY_RATE_MBIT_MAX.to_string()),
            ("uplink_mbit", defaults::STANDBY_UPLINK_MBIT.to_string()),
            ("active_min_s", plan.active_min_s.unwrap_or(defaults::ACTIVE_MIN_S).to_string()),
            ("stable_min_s", plan.stable_min_s.unwrap_or(defaults::STABLE_MIN_S).to_string()),
            ("vault_dir", quote(plan.vault_dir.as_deref().unwrap_or(defaults::VAULT_DIR))),
            ("ballast_mb", plan.ballast_mb.unwrap_or(defaults::BALLAST_MB).to_string()),
            ("journal_mb", defaults::JOURNAL_MB.to_string()),
            ("http_listen", quote(plan.http_listen.as_deref().unwrap_or(defaults::HUB_HTTP_LISTEN))),
            ("sites_max", defaults::SITES_MAX.to_string()),
            ("ledgers_per_site_max", defaults::LEDGERS_PER_SITE_MAX.to_string()),
            ("tail_mb_per_site_max", defaults::TAIL_MB_PER_SITE_MAX.to_string()),
        ],
    )
}

/// A node's id is its place among the members.
fn node(plan: &HubPlan) -> usize {
    1 + plan.members.iter().position(|member| member.name == plan.name).unwrap_or(0)
}

fn members(plan: &HubPlan) -> String {
    let mut text = String::new();
    for (at, member) in plan.members.iter().enumerate() {
        let (name, address) = (quote(&member.name), quote(&member.address));
        // Writing to a string can't fail.
        let _ = write!(text, "\n[[control.member]]\nnode = {}\nname = {name}\naddress = {address}\n", at + 1);
    }
    text
}

fn write_camera(text: &mut String, camera: &Camera) -> std::fmt::Result {
    writeln!(text, "\n[[camera]]\nid = {}", quote(&camera.id))?;
    writeln!(text, "name = {}", quote(camera.name.as_deref().unwrap_or(&camera.id)))?;
    writeln!(text, "audio = {}\nmetadata = {}", camera.audio, camera.metadata)?;
    if let Some(onvif) = &camera.onvif {
        writeln!(text, "onvif = {}", quote(onvif))?;
    }
    for stream in &camera.streams {
        writeln!(text, "\n[[camera.stream]]\nname = {}\nurl = {}", quote(&stream.name), quote(&stream.url))?;
        if stream.replicate != Replicate::default() {
            writeln!(text, "replicate = {}", quote(stream.replicate.word()))?;
        }
        if let Some((username, password)) = &stream.credentials {
            writeln!(text, "username = {}\npassword = {}", quote(username), quote(password.reveal()))?;
        }
    }
    Ok(())
}

/// Replaces every `@name@`. What is put in is not looked at again, so a value may hold `@`.
fn fill(template: &str, values: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (at, part) in template.split('@').enumerate() {
        let value = values.iter().find(|(name, _)| at % 2 == 1 && *name == part);
        text.push_str(value.map_or(part, |(_, value)| value));
    }
    text
}

/// A TOML string.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_in_once() {
        assert_eq!(fill("a = @x@, b = @y@\n", &[("x", "@y@".into()), ("y", "2".into())]), "a = @y@, b = 2\n");
    }

    #[test]
    fn strings_survive_toml() {
        assert_eq!(quote("a\"b\\c\n\u{7f}ü@"), "\"a\\\"b\\\\c\\u000A\\u007Fü@\"");
    }
}
