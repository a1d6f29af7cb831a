use crate::clip::{count_frames, count_packets};
use crate::scene::{A, B, BEGIN_S, C, Scene, Server};

/// State or cause, and who recorded it, from `from` to `to` in seconds after the beginning.
fn told(coverage: &serde_json::Value) -> Vec<(f64, f64, String)> {
    let seconds = |value: &serde_json::Value| (value.as_i64().unwrap() - BEGIN_S * 1_000_000) as f64 / 1e6;
    let word = |span: &serde_json::Value| match span["cause"].as_str() {
        Some(cause) => cause.to_owned(),
        None => match span["origin"].as_str() {
            Some(origin) => format!("{}#{}", &origin[..2], span["seq"]),
            None => span["state"].as_str().unwrap().to_owned(),
        },
    };
    let spans = coverage["spans"].as_array().unwrap();
    spans.iter().map(|span| (seconds(&span["from_us"]), seconds(&span["to_us"]), word(span))).collect()
}

fn range(path: &str, from: i64, to: i64) -> String {
    Server::camera(&format!("{path}?from={}&to={}", BEGIN_S + from, BEGIN_S + to))
}

#[tokio::test(flavor = "multi_thread")]
async fn coverage_spans_a_gap_three_runs_and_their_absence() {
    let scene = Scene::new().await;
    let server = scene.serve().await;
    let answer = server.get(&range("coverage", -5, 65)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let coverage = answer.json();
    let expected = [
        (-5.0, 0.0, "not_scheduled"),
        (0.0, 4.0, "01#0"),
        (4.0, 8.0, "01#1"),
        (8.0, 11.96, "01#2"),
        (11.96, 17.0, "camera_down"),
        (17.0, 21.0, "01#4"),
        (21.0, 25.0, "01#5"),
        (25.0, 28.96, "01#6"),
        (28.96, 30.0, "02#0"),
        (30.0, 34.0, "02#1"),
        (34.0, 37.96, "02#2"),
        (37.96, 45.0, "stopped"),
        (45.0, 49.0, "03#0"),
        (49.0, 53.0, "03#1"),
        (53.0, 56.96, "03#2"),
        (56.96, 65.0, "host_down"),
    ];
    assert_eq!(told(&coverage), expected.map(|(from, to, word)| (from, to, word.to_owned())));
    assert_eq!(coverage["unexplained_s"], 0.0);
    assert_eq!(coverage["recorded_s"], 11.96 + 20.96 + 11.96);

    let merged = server.get(&(range("coverage", -5, 65) + "&summary=1")).await.json();
    let words: Vec<_> = told(&merged).into_iter().map(|(_, _, word)| word).collect();
    assert_eq!(
        words,
        ["not_scheduled", "recorded", "camera_down", "recorded", "stopped", "recorded", "host_down"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_playlist_plays() {
    let scene = Scene::new().await;
    let server = scene.serve().await;
    let path = range("hls.m3u8", -5, 65);
    let playlist = server.get(&path).await.text();
    for (tag, count) in [
        ("#EXT-X-VERSION:7", 1),
        ("#EXT-X-MAP", 1),
        ("#EXT-X-DISCONTINUITY", 3),
        ("#EXT-X-PROGRAM-DATE-TIME", 12),
        ("#EXT-X-ENDLIST", 1),
    ] {
        assert_eq!(playlist.matches(tag).count(), count, "{tag} in\n{playlist}");
    }
    assert!(!playlist.contains("token="), "the token came in a header");
    let counted = |path: String, what: fn(&str) -> usize| {
        let url = server.url(&path);
        tokio::task::spawn_blocking(move || what(&url))
    };
    assert_eq!(counted(path, count_packets).await.unwrap(), 4 * 300, "run A twice, B and C");
    // ffmpeg knows no discontinuities: where another run begins to count anew it drops pictures.
    let one_run = range("hls.m3u8", 0, 28);
    assert_eq!(counted(one_run, count_frames).await.unwrap(), 2 * 300, "run A twice");
    let now = wire::clock::wall().0 / 1_000_000;
    let growing = range("hls.m3u8", now - BEGIN_S - 60, now - BEGIN_S + 3600);
    let growing = server.get(&growing).await.text();
    assert!(growing.contains("TYPE:EVENT") && !growing.contains("ENDLIST"), "{growing}");
    let missing = Server::camera(&format!("segments/{}/7.m4s", "01".repeat(16)));
    assert_eq!(server.get(&missing).await.status, 404);
    let foreign = missing.replace("/7.m4s", "/0.m4s");
    let answer = server.get(&foreign).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("cache-control").unwrap().contains("immutable"));
    assert_eq!(answer.header("content-length").unwrap(), answer.body.len().to_string());
    assert_eq!(server.get(&foreign.replace("shop-7", "shop-8")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_asked_for() {
    let scene = Scene::new().await;
    let server = scene.serve().await;
    let wrong = format!("Authorization: Bearer {}\r\n", "0".repeat(64));
    let right = format!("Authorization: bearer {}\r\n", server.token);
    for path in ["/api/v1/status", "/metrics", &Server::camera("coverage"), "/api/v1/nothing"] {
        for headers in ["", &wrong, "Authorization: Basic eDp5\r\n"] {
            let answer = server.get_as(path, headers).await;
            assert_eq!(answer.status, 401, "{path}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
        assert_eq!(server.get_as(&format!("{path}?token={}1", server.token), "").await.status, 401);
    }
    assert_eq!(server.get_as("/api/v1/status", &right).await.json()["software"], "test");
    assert_eq!(
        server.get_as(&format!("/metrics?token={}", server.token), "").await.text(),
        "holdfast_test 1\n"
    );
    let health = server.get_as("/healthz", "").await;
    assert_eq!((health.status, health.text().as_str()), (200, "ok"));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_name_what_is_wrong() {
    let scene = Scene::new().await;
    let server = scene.serve().await;
    for (query, parameter) in [
        ("from=yesterday", "from"),
        ("to=1e99", "to"),
        ("from=5&to=4", "from"),
        ("from=5&to=50000000", "to"),
        ("stream=NO", "stream"),
        ("summary=perhaps", "summary"),
    ] {
        let answer = server.get(&Server::camera(&format!("coverage?{query}"))).await;
        assert_eq!((answer.status, answer.json()["parameter"].as_str()), (400, Some(parameter)), "{query}");
    }
    let unknown = server.get("/api/v1/sites/shop-7/cameras/door/coverage").await;
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.json()["known"], serde_json::json!(["shop-7/till-1/main"]));
    let nothing = server.get(&range("export.mp4", 12, 15)).await;
    assert_eq!(nothing.status, 404);
    assert_eq!(nothing.json()["coverage"]["spans"][0]["cause"], "camera_down");
    assert_eq!(server.get("/api/v1/nothing").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn cameras_and_sites_are_listed_and_it_stops_when_told() {
    let scene = Scene::new().await;
    let server = scene.serve().await;
    let cameras = server.get("/api/v1/cameras").await.json();
    assert_eq!(cameras[0]["camera"], "till-1");
    assert_eq!(cameras[0]["streams"][0]["stream"], "main");
    assert_eq!(cameras[0]["first"], "2023-11-14T22:13:20.000000Z");
    assert!(cameras[0]["bytes"].as_u64().unwrap() > 10_000);
    let sites = server.get("/api/v1/sites").await.json();
    assert_eq!((&sites[0]["site"], &sites[0]["cameras"]), (&"shop-7".into(), &1.into()));
    server.cancel.cancel();
    server.task.await.unwrap().unwrap();
    assert_eq!([A, B, C].len(), 3);
}
