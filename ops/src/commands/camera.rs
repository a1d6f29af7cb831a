//! Which camera a command is about: by its id alone where only one site has it.

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::Client;

/// Names listed at most.
const LISTED_MAX: usize = 20;

/// Which camera.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct CameraArgs {
    /// The camera: its id, or SITE/ID where several sites have one of this id
    camera: String,
    /// The site it is at
    #[arg(long)]
    site: Option<String>,
    /// Which of its streams [default: main]
    #[arg(long)]
    stream: Option<String>,
}

/// A stream of a camera that the daemon knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) site: String,
    pub(super) camera: String,
    pub(super) stream: String,
}

impl Chosen {
    /// Says in an answer which it is of.
    pub(super) fn name(&self, answer: &mut Value) {
        (answer["site"], answer["camera"]) = (json!(self.site), json!(self.camera));
        answer["stream"] = json!(self.stream);
    }

    /// Where the daemon serves `what` of it.
    pub(super) fn path(&self, what: &str) -> String {
        format!("/sites/{}/cameras/{}/{what}&stream={}", self.site, self.camera, self.stream)
    }
}

impl std::fmt::Display for Chosen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.site, self.camera, self.stream)
    }
}

#[derive(Clone, Debug, Deserialize)]
struct Listed {
    site: String,
    camera: String,
    streams: Vec<ListedStream>,
}

#[derive(Clone, Debug, Deserialize)]
struct ListedStream {
    stream: String,
}

impl CameraArgs {
    /// Asks the daemon which it is.
    pub(super) fn choose(&self, target: &Client) -> anyhow::Result<Chosen> {
        let listed = target.ask("/cameras")?.value;
        let listed: Vec<Listed> =
            serde_json::from_value(listed).with_context(|| target.foreign("no list of cameras"))?;
        self.pick(&listed)
    }

    fn pick(&self, listed: &[Listed]) -> anyhow::Result<Chosen> {
        if listed.is_empty() {
            bail!("no camera is known there yet");
        }
        let mut found = listed.iter().filter_map(|listed| Some((listed, self.stream_of(listed)?)));
        let (first, more) = (found.next(), found.next());
        let Some((camera, stream)) = first else {
            let names = names(listed.iter().map(|listed| (listed, None)));
            bail!("no camera `{}`{} is known there; there are: {names}", self.camera, self.at_site())
        };
        if more.is_some() {
            let names =
                names(listed.iter().filter_map(|listed| Some((listed, Some(self.stream_of(listed)?)))));
            bail!("several sites have a camera `{}`; say which: {names}", self.camera);
        }
        let stream = self.stream.as_deref().or(stream).unwrap_or("main");
        if !camera.streams.iter().any(|known| known.stream == stream) {
            let known: Vec<_> = camera.streams.iter().map(|known| known.stream.as_str()).collect();
            let known = known.join(", ");
            bail!("camera {}/{} has no stream `{stream}`; it has: {known}", camera.site, camera.camera);
        }
        Ok(Chosen { site: camera.site.clone(), camera: camera.camera.clone(), stream: stream.to_owned() })
    }

    /// Is this the camera that is meant? Also gives the stream, if its name says one.
    fn stream_of<'a>(&'a self, listed: &Listed) -> Option<Option<&'a str>> {
        if self.site.as_ref().is_some_and(|site| *site != listed.site) {
            return None;
        }
        let parts: Vec<&str> = self.camera.split('/').collect();
        let has = |stream: &str| listed.streams.iter().any(|known| known.stream == stream);
        match parts[..] {
            [camera] if camera == listed.camera => Some(None),
            [site, camera] if site == listed.site && camera == listed.camera => Some(None),
            [camera, stream] if camera == listed.camera && has(stream) => Some(Some(stream)),
            [site, camera, stream] if site == listed.site && camera == listed.camera => Some(Some(stream)),
            _ => None,
        }
    }

    fn at_site(&self) -> String {
        self.site.as_ref().map_or_else(String::new, |site| format!(" of site `{site}`"))
    }
}

fn names<'a>(cameras: impl Iterator<Item = (&'a Listed, Option<Option<&'a str>>)>) -> String {
    let name = |(camera, stream): (&Listed, Option<Option<&str>>)| {
        let stream = stream.flatten().map_or_else(String::new, |stream| format!("/{stream}"));
        format!("{}/{}{stream}", camera.site, camera.camera)
    };
    let mut names: Vec<_> = cameras.map(name).collect();
    let more = names.len().saturating_sub(LISTED_MAX);
    names.truncate(LISTED_MAX);
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick(camera: &str, site: Option<&str>, stream: Option<&str>) -> Result<String, String> {
        let listed =
            [("shop-1", "till-1"), ("shop-1", "door"), ("shop-2", "door")].map(|(site, camera)| Listed {
                site: site.into(),
                camera: camera.into(),
                streams: ["main", "sub"].map(|stream| ListedStream { stream: stream.into() }).into(),
            });
        let args = CameraArgs {
            camera: camera.into(),
            site: site.map(str::to_owned),
            stream: stream.map(str::to_owned),
        };
        args.pick(&listed).map(|chosen| chosen.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_camera_is_found_by_as_much_of_its_name_as_it_takes() {
        for (expected, camera, site, stream) in [
            ("shop-1/till-1/main", "till-1", None, None),
            ("shop-1/till-1/sub", "till-1", None, Some("sub")),
            ("shop-1/till-1/sub", "till-1/sub", None, None),
            ("shop-2/door/main", "door", Some("shop-2"), None),
            ("shop-2/door/main", "shop-2/door", None, None),
            ("shop-2/door/sub", "shop-2/door/sub", None, None),
        ] {
            assert_eq!(pick(camera, site, stream).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn candidates_are_named() {
        let error = pick("door", None, None).unwrap_err();
        assert!(error.ends_with("say which: shop-1/door, shop-2/door"), "{error}");
        let error = pick("door/sub", None, None).unwrap_err();
        assert!(error.ends_with("say which: shop-1/door/sub, shop-2/door/sub"), "{error}");
        let error = pick("tlil-1", None, None).unwrap_err();
        assert!(error.ends_with("there are: shop-1/till-1, shop-1/door, shop-2/door"), "{error}");
        let error = pick("till-1", Some("shop-2"), None).unwrap_err();
        assert!(error.starts_with("no camera `till-1` of site `shop-2`"), "{error}");
        let error = pick("till-1", None, Some("third")).unwrap_err();
        assert!(error.ends_with("no stream `third`; it has: main, sub"), "{error}");
        assert!(pick("../till-1", None, None).is_err());
    }
}
