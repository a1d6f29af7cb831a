//! The views read what the daemons' own types write.

use dc_hub::downlink::{CameraBeat, SiteState};
use site_agent::uplink::{Line, LinkState};
use site_agent::virtual_server::StreamStatus;
use wire::proto::RecordingState;

use super::*;

const NOW: UnixMicros = UnixMicros(1_700_000_000_000_000);

fn ago(seconds: u64) -> UnixMicros {
    NOW - Duration::from_secs(seconds)
}

fn beat(stream: &str, state: &'static str, detail: &str) -> CameraBeat {
    let last_durable_us = if state == "recording" { ago(1).0 } else { 0 };
    CameraBeat { stream: stream.into(), state, last_durable_us, detail: detail.into() }
}

fn hub() -> Value {
    let mut here = SiteState::default();
    (here.connected, here.since_us, here.last_beat_us) = (true, ago(7380), ago(0));
    (here.address, here.unacked) = ("10.0.0.7:40001".into(), 3);
    (here.live_lag_ms_p50, here.live_lag_ms_p99) = (12, 80);
    here.cameras =
        vec![beat("till-1/main", "recording", ""), beat("door/main", "refused", "401 Unauthorized")];
    let mut away = SiteState::default();
    (away.since_us, away.last_beat_us, away.detail) = (ago(42), ago(43), "timed out".into());
    away.cameras = vec![beat("door/main", "recording", "")];
    json!({
        "role": "hub", "name": "hub-1", "software": "holdfast dc-hub 0.1.0",
        "quorum": "one node: it decides alone",
        "vault": { "id": "", "generation": 1, "ledgers": 1, "bytes": 1_340_000, "open_segments": 2, "stopped": null },
        "sites": { "shop-1": here, "shop-2": away },
    })
}

fn site() -> Value {
    let stream = StreamStatus {
        state: RecordingState::Recording,
        last_durable_us: Some(ago(1)),
        codecs: "avc1.64000d".into(),
        frames: 1500,
        bytes: 2_000_000,
        connects: 3,
        ..StreamStatus::default()
    };
    let line = Line {
        congestion: "holdfast",
        rate_bps: 5_250_000,
        rtt_us: 43_700,
        queue_us: 4_100,
        loss_ppm: 1_200,
        backlog_bps_max: Some(2_000_000),
        ..Line::default()
    };
    let link = LinkState {
        connected: true,
        since_us: ago(60),
        hub: "10.0.0.1:7443".into(),
        line: Some(line),
        ..LinkState::default()
    };
    json!({
        "role": "site", "site": "shop-1", "name": "Shop 1", "software": "holdfast site-agent 0.1.0",
        "origin": "", "archive": { "ledgers": 2, "bytes": 999, "stopped": null },
        "hub": "hub.example:7443", "uplink": link, "streams": { "till-1/main": stream },
    })
}

fn told(value: &Value) -> (String, Vec<String>) {
    let status = Status::read(value).unwrap();
    let text = status.describe(&View { at: "http://127.0.0.1:8080", now: NOW, colours: false });
    let problems = status.problems(NOW).iter().map(Problem::to_string).collect();
    (text, problems)
}

#[test]
fn a_hub_shows_its_sites_and_their_cameras() {
    let (text, problems) = told(&hub());
    let expected = "\
hub     hub-1 at http://127.0.0.1:8080, holdfast dc-hub 0.1.0
quorum  one node: it decides alone
vault   1.3 MB in 1 ledger, 2 open segments

SITE    HUB LINK         FOR  BEAT AGO  UNACKED  LAG p50/p99  DETAIL
shop-1  connected  2 h 3 min       0 s        3     12/80 ms  from 10.0.0.7:40001
shop-2  AWAY            42 s      43 s        0       0/0 ms  timed out

CAMERA              STATE       LAST FRAME  DETAIL
shop-1/till-1/main  recording    1.0 s ago
shop-1/door/main    refused          never  401 Unauthorized
shop-2/door/main    recording?   1.0 s ago

! camera shop-1/door/main is not recorded, it is refused
! site shop-2 is away
";
    assert_eq!(text, expected, "\n{text}");
    let full = [
        "camera shop-1/door/main is not recorded, it is refused: 401 Unauthorized",
        "site shop-2 is away: timed out",
    ];
    assert_eq!(problems, full);
}

#[test]
fn holds_are_shown_and_what_is_pending_with_whom_it_waits_for() {
    let mut value = hub();
    value["holds"] = json!({ "in_force": 3, "pending": 1, "releasing": 0, "not_confirmed_by": ["shop-2"] });
    value["vault"]["retention"] =
        json!({ "kept_bytes": 1_200_000, "holds": 3, "stuck": false, "detail": "" });
    let (text, problems) = told(&value);
    let expected = "\nheld    3 holds, 1.2 MB here, 1 PENDING: not confirmed by shop-2\n";
    assert!(text.contains(expected), "{text}");
    assert_eq!(problems.len(), 2, "what is pending is no fault by itself");
    let mut value = site();
    let full =
        "the disk is getting full, and nothing may be freed: holds keep 3 MB of it, see `holdfast holds`";
    value["archive"]["retention"] =
        json!({ "kept_bytes": 3_000_000, "holds": 1, "stuck": true, "detail": full });
    value["holds"] = json!({ "trouble": "write holds.json: no space left" });
    let (text, problems) = told(&value);
    assert!(text.contains("\nheld     1 hold, 3.0 MB\n"), "{text}");
    assert_eq!(problems, [full, "holds are not safe: write holds.json: no space left"]);
}

#[test]
fn a_site_that_never_came_and_one_that_fell_silent_are_problems() {
    let mut value = hub();
    value["sites"]["shop-2"]["connected"] = true.into();
    let Status::Hub(mut hub) = Status::read(&value).unwrap() else { panic!("a hub") };
    hub.add_missing(&["shop-1".to_owned(), "shop-3".to_owned()]);
    let problems = Status::Hub(hub).problems(NOW);
    let told: Vec<_> = problems.iter().map(Problem::to_string).collect();
    assert!(told.contains(&"site shop-2 is connected, but has sent no beat for 42 s".to_owned()), "{told:?}");
    assert!(
        told.contains(&"site shop-3 is away: not connected since the hub started".to_owned()),
        "{told:?}"
    );
    value["vault"]["stopped"] = "write: no space left".into();
    let (text, problems) = self::told(&value);
    assert!(
        text.contains("\nSTOPPED  write: no space left\n") && text.contains("\n! the vault has stopped\n"),
        "{text}"
    );
    assert_eq!(problems[0], "the vault has stopped: write: no space left");
}

#[test]
fn a_site_shows_its_cameras_and_its_link() {
    let (text, problems) = told(&site());
    let expected = "\
site     shop-1 (Shop 1) at http://127.0.0.1:8080, holdfast site-agent 0.1.0
archive  999 B in 2 ledgers
hub      connected for 1 min to hub.example:7443 (10.0.0.1:7443)
sent     0 B live and 0 B of backlog, 0 entries unacked
line     5.2 Mbit/s, round trip 43 ms with 4 ms of queue, 0.1 % lost, backlog limited to 2.0 Mbit/s
lag      p50 0 ms, p99 0 ms

CAMERA       STATE      LAST FRAME  FRAMES   BYTES  CODECS       DETAIL
till-1/main  recording   1.0 s ago    1500  2.0 MB  avc1.64000d  2 reconnects

all is well
";
    assert_eq!(text, expected, "\n{text}");
    assert_eq!(problems, [""; 0]);
    let mut value = site();
    value["uplink"]["connected"] = false.into();
    value["uplink"]["detail"] = "no answer".into();
    value["streams"]["till-1/main"]["state"] = "down".into();
    let (_, problems) = told(&value);
    let expected = [
        "the hub hub.example:7443 is not connected: no answer",
        "camera till-1/main is not recorded, it is down",
    ];
    assert_eq!(problems, expected);
    // Without a hub there is nothing to be connected to.
    value["hub"] = Value::Null;
    assert_eq!(told(&value).1.len(), 1);
}

#[test]
fn what_is_no_status_is_not_shown() {
    for value in [json!({ "role": "other" }), json!({ "software": "test" }), json!([])] {
        assert!(Status::read(&value).is_err(), "{value}");
    }
}
