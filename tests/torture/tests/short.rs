//! Each kind of torture, for a moment; by the hour it is `holdfast-torture`.

use std::process::Command;

use serde_json::Value;

/// Runs it; tells whether it says that everything held, and its figures.
fn torture(arguments: &str) -> (bool, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-torture"));
    let output = command.args(arguments.split(' ')).output().expect("start holdfast-torture");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let figures = said.lines().last().and_then(|line| serde_json::from_str(line).ok());
    (output.status.success(), figures.unwrap_or_else(|| panic!("{arguments}: {said}\n{told}")))
}

#[test]
fn an_archive_keeps_its_promises_whenever_the_power_goes() {
    let (held, figures) = torture("schedules --seeds 40");
    assert!(held && figures["promises"].as_u64() > Some(200), "{figures}");
    assert!(figures["pages_undone"].as_u64() > Some(100), "the disk lost nothing: {figures}");
    for trouble in ["pages_torn", "refused", "stalls", "rotten", "put_back"] {
        assert!(figures[trouble].as_u64() > Some(0), "no {trouble}: {figures}");
    }
}

#[test]
fn disks_that_lie_break_promises() {
    let (held, figures) = torture("schedules --seeds 3 --lying-disks");
    assert!(!held && figures["broken"].as_u64() > Some(0), "{figures}");
}

/// Plays schedules without a rule; how many promises of some kind were broken?
fn broken_without(rule: &str, seeds: u32, kind: &str) -> u64 {
    let (held, figures) = torture(&format!("schedules --seeds {seeds} --without {rule}"));
    assert!(!held, "{figures}");
    figures["broken_by"][kind].as_u64().expect("how many were broken")
}

#[test]
fn an_ack_before_its_sync_breaks_promises() {
    assert!(broken_without("sync-before-ack", 10, "entries") > 0);
}

#[test]
fn an_index_that_names_a_file_before_it_is_durable_breaks_promises() {
    assert!(broken_without("file-before-index", 10, "files") > 0);
}

#[test]
fn an_origin_that_is_used_again_gives_two_things_one_name() {
    assert!(broken_without("new-origin", 40, "names") > 0);
}

#[test]
fn what_was_acked_survives_power_cuts() {
    let (held, figures) = torture("power --times 3");
    assert!(held && figures["cuts"] == 6, "{figures}");
}

#[test]
fn what_was_acked_survives_deaths_at_any_step() {
    let (held, figures) = torture("kill --times 3");
    assert!(held && figures["kills"] == 6, "{figures}");
}

#[test]
fn one_scrub_finds_and_repairs_all_that_rots() {
    let (held, figures) = torture("rot --bits 4");
    assert!(held && figures["flipped"] == 8 && figures["repaired"] == 8, "{figures}");
}

#[test]
fn disks_that_fill_up_and_go_away_end_well() {
    let (held, figures) = torture("full");
    assert!(held && figures["steps"] == 4, "{figures}");
}

#[test]
fn a_disk_of_several_that_is_pulled_and_returned_costs_nothing() {
    let (held, figures) = torture("disks");
    assert!(held && figures["pulls"] == 2, "{figures}");
}

#[test]
fn a_disk_that_is_lost_for_good_costs_nothing_that_was_acked_and_is_refused_later() {
    let (held, figures) = torture("disk-lost");
    assert!(held, "{figures}");
}
