//! Every scenario's story is as its file tells. `HOLDFAST_BLESS=1` writes the stories anew: read the diff.

use std::path::Path;

use sim::scenario::Scenario;

#[test]
fn every_story_is_as_told() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let bless = std::env::var_os("HOLDFAST_BLESS").is_some();
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let mut wrong = Vec::new();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let scenario = Scenario::read(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let (story, broken) = scenario.play();
        assert!(broken.is_empty(), "{name}: {broken:?}");
        if bless {
            std::fs::write(&path, scenario.with_story(&story)).unwrap();
        } else if story != scenario.expected {
            wrong.push(format!("{name}: expected\n{}\nand it was\n{story}", scenario.expected));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
