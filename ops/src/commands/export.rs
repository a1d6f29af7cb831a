//! `holdfast export`: one MP4 of what a camera recorded, checked before it gets its name.

use std::io::{Read, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use wire::UnixMicros;

use super::camera::{CameraArgs, Chosen};
use super::coverage::Coverage;
use super::part_file::PartFile;
use super::target::{self, TargetArgs};
use super::when::{Clock, FORMS, rfc3339};
use super::{finish, print, print_json, verify};
use crate::client::{Client, Refused, clean};

/// Read at once.
const PIECE_BYTES: usize = 256 << 10;

/// Arguments of `holdfast export`.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = FORMS)]
pub struct Args {
    #[command(flatten)]
    camera: CameraArgs,
    /// When the file begins; it is widened back to a keyframe
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: String,
    /// When it ends, at most 24 hours later
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: String,
    /// The file to write
    #[arg(short, long = "output", value_name = "FILE")]
    output: PathBuf,
    /// Write over FILE if it exists
    #[arg(long)]
    force: bool,
    /// The last line of the output is one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// `holdfast export`. Returns whether the file was made and is what was recorded.
pub fn run(args: &Args) -> anyhow::Result<bool> {
    finish(args.json, export(args))
}

fn export(args: &Args) -> anyhow::Result<bool> {
    let clock = Clock::system();
    let range = clock.range(Some(&args.from), Some(&args.to))?;
    let target = args.target.open()?;
    let mut part = PartFile::begin(&args.output, args.force)?;
    let camera = args.camera.choose(&target)?;
    download(&target, &camera, range, &mut part).map_err(|error| explain(error, &clock))?;

    // Only what is whole and right gets the name that was asked for.
    let (report, bytes) = verify::check(part.path())?;
    let mut shown = args.output.clone();
    if report.ok {
        part.finish()?;
    } else {
        part.path().clone_into(&mut shown);
        part.keep();
    }
    if args.json {
        let mut value = verify::to_json(&report, &shown, bytes);
        value["asked_from"] = json!(rfc3339(range.0));
        value["asked_to"] = json!(rfc3339(range.1));
        print_json(&value)?;
    } else {
        print(&verify::describe(&report, &shown, bytes, &clock))?;
    }
    if report.ok {
        if let Some(stopped) = report.gaps.iter().find(|gap| gap.state == "stopped") {
            let at = rfc3339(UnixMicros(stopped.from_us));
            eprintln!("One file can't hold more, since {}. The rest: --from {at}", clean(&stopped.detail));
        }
        if report.gaps.iter().any(|gap| matches!(gap.state.as_str(), "tail" | "arriving" | "pending")) {
            eprintln!("Some of it was not complete there yet; export again later to have it.");
        }
        return Ok(true);
    }
    eprintln!("holdfast: the export is not what was recorded; it is kept for a look, under another name");
    Ok(false)
}

fn download(
    target: &Client,
    camera: &Chosen,
    (from, to): (UnixMicros, UnixMicros),
    part: &mut PartFile,
) -> anyhow::Result<()> {
    let (headers, mut body) =
        target.download(&camera.path(&format!("export.mp4?from={}&to={}", from.0, to.0)))?;
    let bar = progress(target::length(&headers));
    let mut piece = vec![0; PIECE_BYTES];
    let mut got = 0;
    let done = loop {
        match body.read(&mut piece) {
            Ok(0) => break Ok(()),
            Ok(count) => {
                if let Err(error) = part.write_all(&piece[..count]) {
                    break Err(error).with_context(|| format!("write {}", part.path().display()));
                }
                got += count as u64;
                bar.set_position(got);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => break Err(target::cut(target.base(), got, &error)),
        }
    };
    bar.finish_and_clear();
    done?;
    if got == 0 {
        bail!("{} sent an empty file", target.base());
    }
    Ok(())
}

/// Where nothing is recorded, the daemon says what there is instead.
fn explain(error: anyhow::Error, clock: &Clock) -> anyhow::Error {
    let coverage = error.downcast_ref::<Refused>().and_then(|refused| refused.body.get("coverage"));
    let Some(Ok(coverage)) = coverage.map(Coverage::read) else { return error };
    let table = coverage.table(clock).render(false);
    anyhow::anyhow!("nothing of this range can be exported, since it is:\n{}", table.trim_end())
}

/// Shown on a terminal only.
fn progress(length: Option<u64>) -> ProgressBar {
    let (bar, template) = match length {
        Some(length) => {
            let template =
                "downloading {bar:32} {decimal_bytes}/{decimal_total_bytes}, {decimal_bytes_per_sec}, {eta}";
            (ProgressBar::new(length), template)
        }
        None => {
            (ProgressBar::new_spinner(), "{spinner} downloading {decimal_bytes}, {decimal_bytes_per_sec}")
        }
    };
    bar.with_style(
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner()),
    )
}
