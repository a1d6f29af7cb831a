//! Lengths of time as people write them for a command: `90s`, `30m`, `2h`, `1d`; a bare number is seconds.

use std::time::Duration;

/// Understands one, or says how it is written.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = match unit {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        "d" => Some(86_400),
        _ => None,
    };
    let seconds = unit.zip(number.parse::<u64>().ok()).and_then(|(unit, number)| number.checked_mul(unit));
    seconds.map(Duration::from_secs).ok_or_else(|| format!("`{text}` is no length: write 90s, 30m, 2h or 1d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_taken_as_people_write_them() {
        for (text, seconds) in [("60", 60), ("90s", 90), ("5m", 300), ("2h", 7200), ("1d", 86_400)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "m", "5 m", "-1s", "1w", "99999999999999999999", "999999999999999999d"] {
            assert!(parse(text).unwrap_err().contains("write 90s"), "{text}");
        }
    }
}
