//! The WAN on this machine: between namespaces made for the test, which needs root.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wan::prove::{self, Check, Lab};
use wan::{Headroom, Outage, PathSettings, Queue, Settings, Wan, WanError, Way};

/// One at a time: they measure.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lab() -> Lab {
    Lab::new().expect("these tests make network namespaces and TUN devices: run them as root")
}

fn trusting(path: PathSettings) -> Settings {
    Settings { headroom: Headroom::Trust, ..Settings::symmetric(path) }
}

/// Does a datagram come across within 300 ms?
fn passes(from: &UdpSocket, to: &UdpSocket) -> bool {
    to.set_read_timeout(Some(Duration::from_millis(300))).expect("limit a wait");
    from.send_to(b"?", to.local_addr().expect("an address")).expect("send");
    to.recv(&mut [0; 8]).is_ok()
}

/// A path that was later than this with its packets had not the processor to be what was asked for.
const LATE_US: u64 = 200;

/// Does the machine's own lateness explain this figure? It makes a path slower, never quicker, and a round
/// trip longer by what it was late both ways. It excuses no wrong drops.
fn only_late(check: &Check) -> bool {
    let (low, high) = (check.asked * (1.0 - prove::TOLERANCE), check.asked * (1.0 + prove::TOLERANCE));
    match check.unit {
        "ms" => (low..=high + 2.0 * check.late_us_p99 as f64 / 1e3).contains(&check.measured),
        "Mbit/s" => check.measured <= high,
        _ => false,
    }
}

#[test]
fn figures_are_as_asked() {
    let _alone = alone();
    let lab = lab();
    let mut wan = lab.start(&trusting(PathSettings::default())).unwrap();
    // While the machine itself was late, nothing was learnt about the path: measured again.
    let mut holds = |measure: &dyn Fn(&mut Wan) -> Check| {
        let mut check = measure(&mut wan);
        for _ in 0..9 {
            if check.ok || check.late_us_p99 < LATE_US {
                break;
            }
            check = measure(&mut wan);
        }
        assert!(check.ok || check.late_us_p99 >= LATE_US && only_late(&check), "{check:?}");
    };
    holds(&|wan| prove::rtt(&lab, wan, 20).unwrap());
    holds(&|wan| prove::udp_rate(&lab, wan, 100).unwrap());
    holds(&|wan| prove::tcp_rate(&lab, wan, 100).unwrap());
    holds(&|wan| prove::drops(&lab, wan).unwrap());
}

#[test]
fn what_the_machine_cannot_carry_is_refused() {
    let _alone = alone();
    let lab = lab();
    let asked = |mbit: u64| {
        let path = PathSettings { rate_bps: Some(mbit * 1_000_000), ..PathSettings::default() };
        lab.start(&Settings::symmetric(path))
    };
    let carried = asked(1).unwrap().report().unwrap().carried_packets_per_s.unwrap();
    assert!(carried > 1000, "this machine carries {carried} packets/s");
    match asked(1_000_000) {
        Err(WanError::TooFast { asked_packets_per_s, carried_packets_per_s, .. }) => {
            assert_eq!(asked_packets_per_s, 100_000_000);
            assert!(carried_packets_per_s > 1000);
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("1 Tbit/s were promised"),
    }
}

#[test]
fn cuts_are_one_way_and_heal() {
    let _alone = alone();
    let lab = lab();
    let outages = vec![Outage { at: Duration::from_millis(1500), length: Duration::from_secs(3600) }];
    let settings = Settings {
        b_to_a: PathSettings { outages, ..PathSettings::default() },
        ..trusting(PathSettings::default())
    };
    let wan = lab.start(&settings).unwrap();
    let (a, b) = (lab.udp(&lab.a).unwrap(), lab.udp(&lab.b).unwrap());
    assert!(passes(&a, &b) && passes(&b, &a));
    wan.cut(Way::AToB);
    assert!(!passes(&a, &b) && passes(&b, &a));
    wan.heal(Way::AToB);
    assert!(passes(&a, &b));
    std::thread::sleep(Duration::from_millis(1500).saturating_sub(wan.running_for()));
    assert!(passes(&a, &b) && !passes(&b, &a), "the scheduled outage");
    let report = wan.report().unwrap();
    assert_eq!((report.a_to_b.dropped.cut, report.b_to_a.dropped.cut), (1, 1));
    assert_eq!(report.a_to_b.packets_in, 4);
}

#[test]
fn a_rate_changes_while_packets_pass() {
    let _alone = alone();
    let lab = lab();
    let path = |mbit: u64| PathSettings {
        rate_bps: Some(mbit * 1_000_000),
        queue: Queue::Bytes(60_000),
        ..PathSettings::default()
    };
    let wan = lab.start(&trusting(path(50))).unwrap();
    let rate = |wan: &Wan, mbit: u64| {
        wan.change(Way::AToB, path(mbit)).unwrap();
        prove::blast(&lab, mbit * 1_500_000, Duration::from_millis(600)).unwrap() / 1e6
    };
    for mbit in [50, 20, 80] {
        let off = |measured: f64| measured / mbit as f64 - 1.0;
        let mut measured = rate(&wan, mbit);
        for _ in 0..4 {
            if off(measured).abs() < prove::TOLERANCE {
                break;
            }
            measured = rate(&wan, mbit);
        }
        // A machine that is late makes a path slower, never quicker.
        let late = wan.report().unwrap().a_to_b.late_us_p99 >= LATE_US;
        let held = off(measured).abs() < prove::TOLERANCE || late && off(measured) < prove::TOLERANCE;
        assert!(held, "{measured} Mbit/s of {mbit}");
    }
    let report = wan.report().unwrap().a_to_b;
    assert!((58_500..=60_000).contains(&report.queue_bytes_max), "{report:?}");
    assert!(report.dropped.queue > 100, "{report:?}");
    assert_eq!(report.packets_in, report.packets_out + report.packets_inside + report.dropped.total());
}

/// Else one loss would take forty-some packets of a QUIC sender at once, and no packet would be like on a wire.
#[test]
#[allow(unsafe_code)]
fn the_kernel_segments_before_the_path() {
    let _alone = alone();
    let lab = lab();
    let wan = lab.start(&trusting(PathSettings::default())).unwrap();
    let (a, b) = (lab.udp(&lab.a).unwrap(), lab.udp(&lab.b).unwrap());
    let size: libc::c_int = 1400;
    // SAFETY: the socket is open, and the kernel reads one integer where it is told one is.
    let set = unsafe {
        let length = size_of::<libc::c_int>() as libc::socklen_t;
        libc::setsockopt(a.as_raw_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, (&raw const size).cast(), length)
    };
    assert_eq!(set, 0);
    a.send_to(&[7; 14_000], b.local_addr().unwrap()).unwrap();
    for _ in 0..10 {
        assert_eq!(b.recv(&mut [0; 2000]).unwrap(), 1400);
    }
    let report = wan.report().unwrap().a_to_b;
    assert_eq!((report.packets_in, report.bytes_in), (10, 10 * 1428), "{report:?}");
}

#[test]
fn nothing_is_left_behind() {
    let _alone = alone();
    let lab = lab();
    drop(lab.start(&trusting(PathSettings::default())).unwrap());
    let device = || std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    assert!(!lab.a.netns.inside(device).unwrap().contains("wan:"), "the device is still there");
    drop(lab.start(&trusting(PathSettings::default())).expect("a second WAN in the same place"));
    let (a, b) = (lab.a.netns.clone(), lab.b.netns.clone());
    drop(lab);
    assert!(!a.exists() && !b.exists());
}

#[test]
fn by_hand() {
    let _alone = alone();
    let names = ["a", "b"].map(|end| format!("hfw-{}-hand-{end}", std::process::id()));
    let mut wan = Command::new(env!("CARGO_BIN_EXE_holdfast-wan"));
    wan.args(&names)
        .args("--rtt-ms 100 --mbit 100 --loss-percent 0.1 --queue-ms 100 --for-s 0.2 --json".split(' '));
    let refused = wan.output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--create"), "{refused:?}");
    let done = wan.arg("--create").stdout(Stdio::piped()).output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success() && said.starts_with("ready\n"), "{said}");
    let report: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert!(
        report["seconds"].as_f64().unwrap() >= 0.2 && report["a_to_b"]["dropped"]["loss"] == 0,
        "{report}"
    );
    assert!(names.iter().all(|name| !wan::netns::Netns::from(name.as_str()).exists()));
}
