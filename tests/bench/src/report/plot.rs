//! `holdfast-bench plot`: a trace of `holdfast-line --trace` as a picture: what arrived, and how long the queue was.

use std::path::PathBuf;

use anyhow::{Context, ensure};

use super::svg::{Anchor, Svg};

/// Arguments of `holdfast-bench plot`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What `holdfast-line --trace` wrote
    trace: PathBuf,
    /// Where the picture goes
    #[arg(long, value_name = "FILE.svg")]
    to: PathBuf,
    /// What it shows
    #[arg(long)]
    title: String,
    /// Rate of the line over time, as seconds:Mbit/s steps
    #[arg(long, value_delimiter = ',', value_parser = step)]
    capacity: Vec<(f64, f64)>,
}

const WIDTH: f64 = 760.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
const PANEL: f64 = 130.0;
const TOPS: [f64; 2] = [56.0, 236.0];
const HEIGHT: f64 = 412.0;

const OURS: &str = "ours";
const BESIDE: &str = "beside";
const CAPACITY: &str = "capacity";
const INKS: [(&str, &str, &str); 3] =
    [(OURS, "#0969da", "#58a6ff"), (BESIDE, "#bc4c00", "#f0883e"), (CAPACITY, "#59636e", "#9198a1")];

/// One row of a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    at: f64,
    ours: f64,
    beside: f64,
    queue: f64,
}

/// Draws; always true.
pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    let text = std::fs::read_to_string(&args.trace)
        .with_context(|| format!("read {}: make it with holdfast-line --trace", args.trace.display()))?;
    let rows = rows(&text).with_context(|| format!("{} is no trace", args.trace.display()))?;
    super::page::write(&args.to, &draw(&rows, &args.capacity, &args.title))?;
    println!("{}", args.to.display());
    Ok(true)
}

fn step(text: &str) -> Result<(f64, f64), String> {
    let number = |text: &str| text.parse::<f64>().map_err(|error| format!("`{text}`: {error}"));
    let (at, rate) = text.split_once(':').ok_or("write SECONDS:MBIT")?;
    Ok((number(at)?, number(rate)?))
}

fn rows(text: &str) -> anyhow::Result<Vec<Row>> {
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let place = |name: &str| {
        head.iter().position(|known| *known == name).with_context(|| format!("no column {name}"))
    };
    let (at, ours, beside, queue) =
        (place("t")?, place("ours_mbit")?, place("beside_mbit")?, place("queue_ms")?);
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        // What was not seen in a moment is empty.
        let cell = |place: usize| cells.get(place).and_then(|text| text.parse().ok()).unwrap_or(0.0);
        Row { at: cell(at), ours: cell(ours), beside: cell(beside), queue: cell(queue) }
    };
    let rows: Vec<Row> = lines.map(row).collect();
    ensure!(rows.len() > 1, "it has no rows");
    Ok(rows)
}

fn draw(rows: &[Row], capacity: &[(f64, f64)], title: &str) -> String {
    let mut svg = Svg::new(WIDTH, HEIGHT, &INKS);
    svg.text((LEFT, 22.0), Anchor::Start, "title", title);
    let end = rows.last().map_or(1.0, |row| row.at);
    let most = |of: fn(&Row) -> f64| rows.iter().map(of).fold(0.0, f64::max);
    let is_beside = most(|row| row.beside) > 0.0;
    let rate_top = nice(
        capacity
            .iter()
            .map(|(_, rate)| *rate)
            .fold(most(|row| row.ours), f64::max)
            .max(most(|row| row.beside)),
    );
    let queue_top = nice(most(|row| row.queue).max(10.0));
    let x = |at: f64| LEFT + (WIDTH - LEFT - RIGHT) * at / end;
    for (top, scale, unit) in [(TOPS[0], rate_top, "Mbit/s"), (TOPS[1], queue_top, "queue, ms")] {
        axes(&mut svg, top, scale, unit);
    }
    for tick in 0..=5 {
        let at = end * f64::from(tick) / 5.0;
        svg.text((x(at), HEIGHT - 22.0), Anchor::Middle, "faint", &format!("{at:.0} s"));
    }
    let y = |top: f64, scale: f64, value: f64| top + PANEL * (1.0 - (value / scale).min(1.0));
    let curve = |top: f64, scale: f64, of: fn(&Row) -> f64| -> Vec<(f64, f64)> {
        rows.iter().map(|row| (x(row.at), y(top, scale, of(row)))).collect()
    };
    let steps = capacity.iter().zip(capacity.iter().skip(1).map(|(at, _)| *at).chain([end]));
    let held: Vec<(f64, f64)> = steps
        .flat_map(|((from, rate), to)| {
            [(x(*from), y(TOPS[0], rate_top, *rate)), (x(to), y(TOPS[0], rate_top, *rate))]
        })
        .collect();
    let mut legend = vec![(OURS, "Holdfast")];
    if !held.is_empty() {
        svg.line(&format!("line dashed {CAPACITY}"), &held);
        legend.push((CAPACITY, "what the line carries"));
    }
    if is_beside {
        svg.line(&format!("line {BESIDE}"), &curve(TOPS[0], rate_top, |row| row.beside));
        legend.push((BESIDE, "TCP beside it"));
    }
    svg.line(&format!("line {OURS}"), &curve(TOPS[0], rate_top, |row| row.ours));
    svg.line(&format!("line {OURS}"), &curve(TOPS[1], queue_top, |row| row.queue));
    for (place, (class, name)) in legend.into_iter().enumerate() {
        let from = LEFT + 190.0 * place as f64;
        svg.line(&format!("line {class}"), &[(from, 40.0), (from + 22.0, 40.0)]);
        svg.text((from + 28.0, 44.0), Anchor::Start, "", name);
    }
    svg.finish(title)
}

fn axes(svg: &mut Svg, top: f64, scale: f64, unit: &str) {
    for part in 0..=4 {
        let share = f64::from(part) / 4.0;
        let y = top + PANEL * (1.0 - share);
        svg.line("grid", &[(LEFT, y), (WIDTH - RIGHT, y)]);
        svg.text((LEFT - 6.0, y + 4.0), Anchor::End, "faint", &format!("{:.0}", scale * share));
    }
    svg.text_upwards((16.0, top + PANEL / 2.0), "faint", unit);
}

/// A round number that is no less, and a multiple of four.
fn nice(value: f64) -> f64 {
    let size = 10f64.powf(value.max(1.0).log10().floor());
    let steps = [0.4, 0.8, 1.2, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0];
    steps.into_iter().map(|step| step * size).find(|round| *round >= value).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str =
        "t,ours_mbit,beside_mbit,queue_ms,rtt_ms\n0.00,0.0,0.000,,50\n0.10,80.5,12.000,7.50,58\n";

    #[test]
    fn a_trace_is_read_by_its_head() {
        let row = Row { at: 0.1, ours: 80.5, beside: 12.0, queue: 7.5 };
        assert_eq!(rows(TRACE).unwrap()[1], row);
        assert!(rows("t,ours_mbit\n0,1\n0,2\n").is_err());
        assert!(rows("t,ours_mbit,beside_mbit,queue_ms\n").is_err());
    }

    #[test]
    fn everything_that_is_there_is_drawn() {
        let drawn = draw(&rows(TRACE).unwrap(), &[(0.0, 100.0), (0.05, 20.0)], "a line");
        assert!(drawn.contains("TCP beside it") && drawn.contains("what the line carries"), "{drawn}");
        assert_eq!(drawn.matches("<polyline class=\"line").count(), 4 + 3, "curves and the legend's");
        assert_eq!(step("3:20"), Ok((3.0, 20.0)));
        assert!(step("3").is_err());
    }

    #[test]
    fn scales_are_round() {
        assert_eq!([7.0, 20.5, 95.0, 101.0].map(nice), [8.0, 40.0, 100.0, 120.0]);
    }
}
