//! The handle of a running WAN.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock;
use crate::forward::Forwarder;
use crate::headroom;
use crate::netns::Netns;
use crate::report::{Report, WayReport};
use crate::settings::{Headroom, PathSettings, Settings, SettingsError};
use crate::tun::{MTU, Tun};

/// One end of a WAN.
#[derive(Clone, Debug)]
pub struct End {
    /// Where.
    pub netns: Netns,
    /// Its address; the other end has a route to it.
    pub address: Ipv4Addr,
    /// The device's name there.
    pub device: String,
}

impl End {
    /// With a device named `wan`.
    pub fn new(netns: &str, address: Ipv4Addr) -> Self {
        Self { netns: netns.into(), address, device: "wan".to_owned() }
    }
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From end A to end B.
    AToB,
    /// From end B to end A.
    BToA,
}

impl Way {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::AToB, Self::BToA];

    /// The seed of this direction's path, from the WAN's.
    pub fn seed(self, seed: u64) -> u64 {
        // Any fixed difference will do: the path's generators mix it.
        match self {
            Self::AToB => seed,
            Self::BToA => seed ^ 0xB70A_0000_0000_0000,
        }
    }
}

/// Why a WAN did not start.
#[derive(Debug, thiserror::Error)]
pub enum WanError {
    /// The settings make no sense.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The machine is too slow for them.
    #[error(
        "{asked_mbit} Mbit/s are asked for, {asked_packets_per_s} packets/s with a fifth to spare, but this machine \
         carries {carried_packets_per_s} packets/s now: lower the rate or end what else runs"
    )]
    TooFast {
        /// The rate.
        asked_mbit: u64,
        /// In full-size packets, × 1.2.
        asked_packets_per_s: u64,
        /// What was measured.
        carried_packets_per_s: u64,
    },
    /// The machine refused.
    #[error("{0:#}")]
    Machine(#[from] anyhow::Error),
}

/// A running WAN. Its devices go when it is dropped.
pub struct Wan {
    a_to_b: Forwarder,
    b_to_a: Forwarder,
    // After the threads: a device goes with its last user.
    a: Arc<Tun>,
    b: Arc<Tun>,
    unread_before: [u64; 2],
    carried: Option<u64>,
    began: Instant,
}

impl Wan {
    /// Joins two namespaces, which must exist. Ready when it returns; the paths' time begins then.
    pub fn start(a: &End, b: &End, settings: &Settings) -> Result<Self, WanError> {
        settings.check()?;
        let tun_a = Arc::new(Tun::open(&a.netns, &a.device, a.address, b.address)?);
        let tun_b = Arc::new(Tun::open(&b.netns, &b.device, b.address, a.address)?);
        let a_to_b = Forwarder::start("wan-a-to-b", Arc::clone(&tun_a), Arc::clone(&tun_b))?;
        let b_to_a = Forwarder::start("wan-b-to-a", Arc::clone(&tun_b), Arc::clone(&tun_a))?;
        let fastest =
            [&settings.a_to_b, &settings.b_to_a].into_iter().filter_map(PathSettings::rate_bps_max).max();
        let carried = match (settings.headroom, fastest) {
            (Headroom::Measure, Some(rate)) => {
                let carried = headroom::measure(a, b, &a_to_b)?;
                refuse_if_too_fast(rate, carried)?;
                Some(carried)
            }
            _ => None,
        };
        let unread_before = [tun_a.unread()?, tun_b.unread()?];
        a_to_b.begin(settings.a_to_b.clone(), Way::AToB.seed(settings.seed));
        b_to_a.begin(settings.b_to_a.clone(), Way::BToA.seed(settings.seed));
        Ok(Self { a_to_b, b_to_a, a: tun_a, b: tun_b, unread_before, carried, began: clock::now() })
    }

    /// Begins anew with other settings: an empty path, time and chance from the start, figures at zero. The
    /// machine's speed is not measured again.
    pub fn restart(&mut self, settings: &Settings) -> Result<(), WanError> {
        settings.check()?;
        self.unread_before = [self.a.unread()?, self.b.unread()?];
        self.a_to_b.begin(settings.a_to_b.clone(), Way::AToB.seed(settings.seed));
        self.b_to_a.begin(settings.b_to_a.clone(), Way::BToA.seed(settings.seed));
        self.began = clock::now();
        Ok(())
    }

    /// Changes a direction; what is inside stays ([`crate::Path::reconfigure`]).
    pub fn change(&self, way: Way, settings: PathSettings) -> Result<(), SettingsError> {
        settings.check()?;
        self.forwarder(way).change(settings);
        Ok(())
    }

    /// Lets nothing more into a direction.
    pub fn cut(&self, way: Way) {
        self.forwarder(way).cut(true);
    }

    /// Ends a `cut`.
    pub fn heal(&self, way: Way) {
        self.forwarder(way).cut(false);
    }

    /// The figures so far.
    pub fn report(&self) -> anyhow::Result<Report> {
        let [a_before, b_before] = self.unread_before;
        Ok(Report {
            seconds: self.running_for().as_secs_f64(),
            a_to_b: way_report(&self.a_to_b, &self.a, a_before)?,
            b_to_a: way_report(&self.b_to_a, &self.b, b_before)?,
            carried_packets_per_s: self.carried,
        })
    }

    /// How long a packet that came into a direction now would wait in its queue, at the rate in force; none
    /// if nothing passes.
    pub fn queue(&self, way: Way) -> Option<Duration> {
        self.forwarder(way).queue()
    }

    /// Time of the paths.
    pub fn running_for(&self) -> Duration {
        clock::now().saturating_duration_since(self.began)
    }

    fn forwarder(&self, way: Way) -> &Forwarder {
        match way {
            Way::AToB => &self.a_to_b,
            Way::BToA => &self.b_to_a,
        }
    }
}

fn way_report(forwarder: &Forwarder, from: &Tun, unread_before: u64) -> anyhow::Result<WayReport> {
    let report = forwarder.report().unwrap_or_else(|| WayReport {
        failed: Some("its thread panicked".to_owned()),
        ..WayReport::default()
    });
    // A device whose namespace was removed has no counter; then the report says why it failed.
    let unread = match from.unread() {
        Err(_) if report.failed.is_some() => 0,
        unread => unread?.saturating_sub(unread_before),
    };
    Ok(WayReport { unread, ..report })
}

fn refuse_if_too_fast(rate_bps: u64, carried: u64) -> Result<(), WanError> {
    let packet_bits = 8 * MTU as u64;
    let asked = (rate_bps + rate_bps / 5).div_ceil(packet_bits);
    if asked <= carried {
        return Ok(());
    }
    Err(WanError::TooFast {
        asked_mbit: rate_bps / 1_000_000,
        asked_packets_per_s: asked,
        carried_packets_per_s: carried,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_both_figures() {
        assert!(refuse_if_too_fast(100_000_000, 10_000).is_ok());
        let refused = refuse_if_too_fast(100_000_001, 10_000).unwrap_err().to_string();
        assert!(
            refused.contains("100 Mbit/s") && refused.contains("10001") && refused.contains("10000"),
            "{refused}"
        );
    }
}
