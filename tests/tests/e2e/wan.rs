//! The WAN is cut and heals.

use std::time::Duration;

use anyhow::ensure;
use holdfast_tests::account::{CameraAccount, settle};
use holdfast_tests::scene::{QUICK, Scene, Side, camera, number, play, site};
use ops::rig::Settings;
use wire::UnixMicros;

/// Segments long enough that the cut begins and ends in the middle of one.
const SETTINGS: Settings = Settings { segment_s: 4, ..QUICK };

/// From the heal to a running session: at most a second until a dial begins, a handshake, and what both sides
/// tell each other of what they have.
const BACK_MAX: Duration = Duration::from_secs(3);

/// What had crossed the WAN before and after.
struct Sent {
    backlog_parts: u64,
    all_bytes: u64,
    wire_bytes: u64,
}

impl Sent {
    fn of(scene: &Scene) -> anyhow::Result<Self> {
        let link = scene.uplink(0)?;
        Ok(Self {
            backlog_parts: number(&link["backlog_parts"])?,
            all_bytes: number(&link["live_bytes"])? + number(&link["backlog_bytes"])?,
            wire_bytes: scene.rig.sites[0].cable.sent_bytes()?,
        })
    }
}

#[test]
fn a_cut_longer_than_the_idle_timeout_costs_nothing_but_time() {
    play(&[site("shop-1", vec![camera("till-1")])], &SETTINGS, |scene| {
        scene.start()?;
        let began = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, began, 4.0)?;
        scene.rig.sites[0].cable.cut()?;
        let cut = wire::clock::wall();
        scene.await_link(0, false)?;
        let given_up = wire::clock::wall();
        scene.await_recorded(Side::Site, 0, cut, 15.0)?;
        scene.rig.sites[0].cable.heal()?;
        let healed = wire::clock::wall();
        let after = scene.await_link(0, true)?;
        ensure!(after < BACK_MAX, "the link was up again only {after:?} after the heal");
        let back = wire::clock::wall();
        scene.await_acked(0, (began, healed))?;
        scene.await_recorded(Side::Hub, 0, healed, 3.0)?;
        let sent = Sent::of(scene)?;
        let accounts = settle(scene)?;
        accounts.iter().try_for_each(CameraAccount::without_gap)?;
        ensure!(
            given_up.since(cut) > Duration::from_secs(8),
            "the connection did not wait out its idle timeout"
        );
        sent_once(&accounts[0], &sent, (cut, given_up, back))
    });
}

#[test]
fn a_short_cut_is_not_noticed() {
    play(&[site("shop-1", vec![camera("till-1")])], &QUICK, |scene| {
        scene.start()?;
        let began = wire::clock::wall();
        scene.await_recorded(Side::Hub, 0, began, 3.0)?;
        let connects = number(&scene.uplink(0)?["connects"])?;
        scene.rig.sites[0].cable.cut()?;
        let cut = wire::clock::wall();
        scene.await_recorded(Side::Site, 0, cut, 3.0)?;
        scene.rig.sites[0].cable.heal()?;
        let healed = wire::clock::wall();
        scene.await_acked(0, (began, healed))?;
        ensure!(number(&scene.uplink(0)?["connects"])? == connects, "3 s of silence ended the connection");
        settle(scene)?.iter().try_for_each(CameraAccount::without_gap)
    });
}

/// Nothing crossed the WAN twice but what was under way when it was cut.
fn sent_once(
    account: &CameraAccount,
    sent: &Sent,
    (cut, given_up, back): (UnixMicros, UnixMicros, UnixMicros),
) -> anyhow::Result<()> {
    // Parts handed to the connection while nobody knew yet that it was dead, and those of the moment before.
    let moment = Duration::from_secs(1);
    let (mut in_vain, mut missed, mut recorded) = (0, 0, 0);
    for (_, segment) in &account.segments {
        recorded += segment.bytes;
        let mut within = 0;
        for fragment in &segment.fragments {
            let at = UnixMicros(fragment.start_us);
            if cut - moment <= at && at <= given_up {
                in_vain += u64::from(fragment.bytes);
            }
            within += u64::from(cut - moment <= at && at <= back + moment);
        }
        // And the header of each such segment.
        missed += if within > 0 { within + 1 } else { 0 };
    }
    let most = recorded + in_vain;
    ensure!(sent.all_bytes <= most, "sent {} bytes of {recorded}, {in_vain} of them in vain", sent.all_bytes);
    ensure!(sent.backlog_parts <= missed, "{} parts of backlog for {missed} missed ones", sent.backlog_parts);
    // On the wire: packet headers, acknowledgements, beats every half second, and handshakes.
    let most = recorded + recorded / 10 + 200_000;
    ensure!(sent.wire_bytes <= most, "{} bytes on the wire for {recorded} recorded ones", sent.wire_bytes);
    Ok(())
}
