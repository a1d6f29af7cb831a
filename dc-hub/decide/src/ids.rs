//! Names of nodes, hosts, cameras and paths, each with a type of its own.
//!
//! A site's virtual server is named by its [`SiteId`]: each site has one.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wire::NameError;
use wire::id::check_slug;

pub use wire::SiteId;

/// A hub node in the control log. Given once, never again, whatever becomes of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}", self.0)
    }
}

macro_rules! slug_id {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and takes the text.
            pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
                $check(text.as_ref())?;
                Ok(Self(text.as_ref().into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

slug_id! {
    /// A machine that can run virtual servers: a site's machine, or a hub node.
    HostId, check_slug
}
slug_id! {
    /// A path between a site and the hub, as the configuration names it: `fibre`, `lte`.
    PathId, check_slug
}
slug_id! {
    /// One camera, fleet-wide: `site/camera`. It survives a swap of the device.
    CameraId, check_camera
}

/// A camera is `site/camera`, two slugs.
fn check_camera(text: &str) -> Result<(), NameError> {
    let (site, camera) = text.split_once('/').ok_or_else(|| NameError::NotASlug(text.to_owned()))?;
    check_slug(site)?;
    check_slug(camera)
}

impl CameraId {
    /// The site's slug: whose camera it is.
    pub fn site(&self) -> &str {
        self.0.split_once('/').map_or("", |(site, _)| site)
    }

    /// What the site itself calls it.
    pub fn local(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, camera)| camera)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_names_its_site() {
        let camera = CameraId::new("shop-1/till-2").unwrap();
        assert_eq!((camera.site(), camera.local()), ("shop-1", "till-2"));
        for bad in ["till", "a/b/c", "/b", "a/", "A/b"] {
            assert!(CameraId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_are_checked_when_they_are_read_back() {
        let host: HostId = serde_json::from_str("\"hub-1\"").unwrap();
        assert_eq!(serde_json::to_string(&host).unwrap(), "\"hub-1\"");
        assert!(serde_json::from_str::<HostId>("\"Hub 1\"").is_err());
    }
}
