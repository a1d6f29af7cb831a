//! Faults as text: `at 30s cut s0 h1 for 60s`.

use std::fmt;
use std::time::Duration;

use super::{Fault, Planned, Ways};
use crate::node::{NodeIx, SiteIx};
use crate::time::{Time, micros};

/// A machine's name: sites first.
pub fn node_name(node: NodeIx, sites: usize) -> String {
    if node.index() < sites { format!("s{}", node.0) } else { format!("h{}", node.index() - sites) }
}

/// Tells a fault in words.
pub fn tell(fault: &Fault, sites: usize) -> String {
    let name = |node: &NodeIx| node_name(*node, sites);
    match fault {
        Fault::Cut(a, b, Ways::Both) => format!("cut {} {}", name(a), name(b)),
        Fault::Cut(a, b, Ways::There) => format!("cut {} {} there", name(a), name(b)),
        Fault::Cut(a, b, Ways::Back) => format!("cut {} {} back", name(a), name(b)),
        Fault::Clog(a, b, by) => format!("clog {} {} {}", name(a), name(b), Short(*by)),
        Fault::Loss(a, b, permille) => format!("loss {} {} {permille}", name(a), name(b)),
        Fault::UdpBlock(a, b) => format!("udp-block {} {}", name(a), name(b)),
        Fault::Kill(node) => format!("kill {}", name(node)),
        Fault::Power(node) => format!("power {}", name(node)),
        Fault::Pause(node) => format!("pause {}", name(node)),
        Fault::Camera(site, camera) => format!("camera {site} {camera}"),
        Fault::Wall(node, by) => format!("wall {} {by}", name(node)),
        Fault::Stall(node, by) => format!("stall {} {}", name(node), Short(*by)),
        Fault::Snapshot(site) => format!("snapshot {site}"),
        Fault::Restore(site) => format!("restore {site}"),
        Fault::Dark(site) => format!("dark {site}"),
        Fault::Elect => "elect".to_owned(),
        Fault::Replace => "replace".to_owned(),
        Fault::Rot(site) => format!("rot {site}"),
    }
}

/// Reads a line of a schedule. `hub` in the place of a node means each hub node, so one line may be several
/// faults.
pub fn read(line: &str, sites: usize, hubs: usize) -> Result<Vec<Planned>, String> {
    let wrong = || format!("can't read `{line}`: write for example `at 30s cut s0 h1 for 60s`");
    let mut words: Vec<&str> = line.split_whitespace().collect();
    let lasts = match words.as_slice() {
        [.., "for", length] => {
            let length = duration(length).ok_or_else(wrong)?;
            words.truncate(words.len() - 2);
            length
        }
        _ => Duration::ZERO,
    };
    let ["at", at, what @ ..] = words.as_slice() else { return Err(wrong()) };
    let at = Time::ZERO + duration(at).ok_or_else(wrong)?;
    let each: Vec<Vec<String>> = if what.contains(&"hub") {
        let hub = |n: usize| what.iter().map(|word| word.replace("hub", &format!("h{n}"))).collect();
        (0..hubs).map(hub).collect()
    } else {
        vec![what.iter().map(|word| (*word).to_owned()).collect()]
    };
    let read = |words: Vec<String>| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let fault = fault(&words, sites, hubs).ok_or_else(wrong)?;
        Ok(Planned { at, fault, lasts })
    };
    each.into_iter().map(read).collect()
}

fn fault(words: &[&str], sites: usize, hubs: usize) -> Option<Fault> {
    let node = |name: &str| {
        let number: usize = name.get(1..)?.parse().ok()?;
        match name.get(..1)? {
            "s" if number < sites => Some(NodeIx::at(number)),
            "h" if number < hubs => Some(NodeIx::at(sites + number)),
            _ => None,
        }
    };
    let site = |name: &str| node(name).filter(|node| node.index() < sites).map(|node| SiteIx(node.0));
    Some(match words {
        ["cut", a, b] => Fault::Cut(node(a)?, node(b)?, Ways::Both),
        ["cut", a, b, "there"] => Fault::Cut(node(a)?, node(b)?, Ways::There),
        ["cut", a, b, "back"] => Fault::Cut(node(a)?, node(b)?, Ways::Back),
        ["clog", a, b, by] => Fault::Clog(node(a)?, node(b)?, duration(by)?),
        ["loss", a, b, permille] => Fault::Loss(node(a)?, node(b)?, permille.parse().ok()?),
        ["udp-block", a, b] => Fault::UdpBlock(node(a)?, node(b)?),
        ["kill", a] => Fault::Kill(node(a)?),
        ["power", a] => Fault::Power(node(a)?),
        ["pause", a] => Fault::Pause(node(a)?),
        ["camera", a, camera] => Fault::Camera(site(a)?, camera.parse().ok()?),
        ["wall", a, by] => Fault::Wall(node(a)?, by.parse().ok()?),
        ["stall", a, by] => Fault::Stall(node(a)?, duration(by)?),
        ["snapshot", a] => Fault::Snapshot(site(a)?),
        ["restore", a] => Fault::Restore(site(a)?),
        ["dark", a] => Fault::Dark(site(a)?),
        ["elect"] => Fault::Elect,
        ["replace"] => Fault::Replace,
        ["rot", a] => Fault::Rot(site(a)?),
        _ => return None,
    })
}

/// Reads `250ms`, `30s`, `5m`, `2h`.
pub fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let count: f64 = text[..digits].parse().ok()?;
    let unit = match &text[digits..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Some(Duration::from_micros((count * unit * 1e6) as u64))
}

/// A duration as a person writes it.
pub struct Short(pub Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = micros(self.0);
        if us.is_multiple_of(1_000_000) {
            write!(f, "{}s", us / 1_000_000)
        } else {
            write!(f, "{}ms", us / 1_000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read_again() {
        let lines = [
            "cut s0 h1",
            "cut s0 h1 there",
            "clog s1 h0 1500ms",
            "loss h0 h1 200",
            "udp-block s0 h2",
            "kill s0",
            "power h2",
            "pause h0",
            "camera s1 0",
            "wall s0 -7200",
            "stall h0 2s",
            "snapshot s0",
            "restore s0",
            "dark s1",
            "elect",
            "replace",
            "rot s1",
        ];
        for line in lines {
            let planned = read(&format!("at 2m {line} for 3s"), 2, 3).unwrap();
            assert_eq!(tell(&planned[0].fault, 2), line);
            assert_eq!((planned[0].at, planned[0].lasts), (Time(120_000_000), Duration::from_secs(3)));
        }
        assert_eq!(read("at 1s cut s0 hub for 1s", 2, 3).unwrap().len(), 3);
        for wrong in ["cut s0 h0", "at 1s cut s2 h0", "at 1s dance s0", "at one cut s0 h0"] {
            assert!(read(wrong, 2, 3).is_err(), "{wrong}");
        }
    }
}
