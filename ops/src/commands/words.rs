//! Numbers, the way people say them.

use std::time::Duration;

/// `512 B`, `1.3 MB`: decimal units, as disks and links have them.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut scaled = count as f64 / 1000.0;
    let mut units = UNITS.iter();
    let mut unit = units.next().unwrap_or(&"");
    for larger in units {
        // What would round to 1000.0 is one of the next unit.
        if scaled < 999.95 {
            break;
        }
        scaled /= 1000.0;
        unit = larger;
    }
    format!("{scaled:.1} {unit}")
}

/// `0 s`, `40 ms`, `0.3 s`, `42 s`, `7 min 31 s`, `2 h 3 min`, `3 d 4 h`.
pub(super) fn duration(time: Duration) -> String {
    if time.is_zero() {
        return "0 s".to_owned();
    }
    if time < Duration::from_millis(100) {
        return format!("{} ms", time.as_millis());
    }
    let tenths = (time.as_millis() + 50) / 100;
    if tenths < 100 {
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    let seconds = (time.as_millis() + 500) / 1000;
    let (large, small, units) = match seconds {
        0..60 => return format!("{seconds} s"),
        60..3600 => (seconds / 60, seconds % 60, ("min", "s")),
        3600..86_400 => (seconds / 3600, seconds % 3600 / 60, ("h", "min")),
        _ => (seconds / 86_400, seconds % 86_400 / 3600, ("d", "h")),
    };
    if small == 0 {
        format!("{large} {}", units.0)
    } else {
        format!("{large} {} {small} {}", units.0, units.1)
    }
}

/// A cause as the API writes it, `camera_down`, as words.
pub(super) fn cause(name: &str) -> String {
    if name == "unspecified" { "unexplained".to_owned() } else { name.replace('_', " ") }
}

/// `1 camera`, `2 cameras`.
pub(super) fn count(number: impl TryInto<u64>, noun: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short() {
        let sizes = [0, 999, 1000, 999_949, 999_960, 1_340_000, 5_000_000_000, u64::MAX].map(bytes);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "1.3 MB", "5.0 GB", "18446.7 PB"]);
        let times = [0, 40, 340, 9_960, 42_000, 451_000, 7_200_000, 7_380_000, 273_600_000];
        let times = times.map(|millis| duration(Duration::from_millis(millis)));
        assert_eq!(
            times,
            ["0 s", "40 ms", "0.3 s", "10 s", "42 s", "7 min 31 s", "2 h", "2 h 3 min", "3 d 4 h"]
        );
        assert_eq!(
            (cause("camera_down"), cause("unspecified")),
            ("camera down".into(), "unexplained".into())
        );
        assert_eq!((count(1usize, "frame"), count(0usize, "frame")), ("1 frame".into(), "0 frames".into()));
    }
}
