//! The hub's address as people write it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How the hub is found: `host:port`, or the name of SRV records.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HubAddress {
    /// `hub.example.com:7443`, `192.0.2.7:7443`, `[2001:db8::7]:7443`.
    Fixed {
        /// A host name, or an IP address without brackets.
        host: String,
        /// The UDP port.
        port: u16,
    },
    /// `_holdfast._udp.example.com`.
    Srv(String),
}

/// Why a text is not a hub's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No port, or none that can be dialled.
    #[error("`{0}` has no port: write `host:port`, for example `hub.example.com:7443`")]
    NoPort(String),
    /// The host is neither an address nor a name.
    #[error("`{0}` is no host: write a name or an IP address, IPv6 in brackets: `[2001:db8::7]:7443`")]
    NotAHost(String),
    /// It begins like an SRV name and isn't one.
    #[error("`{0}` is no SRV name: write `_holdfast._udp.` and a domain, without a port")]
    NotAnSrvName(String),
}

impl HubAddress {
    /// The address itself, if it needs no DNS.
    pub(super) fn literal(&self) -> Option<SocketAddr> {
        match self {
            Self::Fixed { host, port } => Some(SocketAddr::new(host.parse::<IpAddr>().ok()?, *port)),
            Self::Srv(_) => None,
        }
    }
}

impl FromStr for HubAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.starts_with('_') {
            return srv(text).ok_or_else(|| AddressError::NotAnSrvName(text.to_owned()));
        }
        if let Ok(literal) = text.parse::<SocketAddr>()
            && literal.port() != 0
        {
            return Ok(Self::Fixed { host: literal.ip().to_string(), port: literal.port() });
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| AddressError::NoPort(text.to_owned()))?;
        let port = port.parse().ok().filter(|port| *port != 0);
        let port = port.ok_or_else(|| AddressError::NoPort(text.to_owned()))?;
        if !is_host_name(host) {
            return Err(AddressError::NotAHost(host.to_owned()));
        }
        Ok(Self::Fixed { host: host.to_owned(), port })
    }
}

fn srv(text: &str) -> Option<HubAddress> {
    let (service, rest) = text.strip_prefix('_')?.split_once('.')?;
    let domain = rest.strip_prefix("_udp.")?;
    (is_label(service) && is_host_name(domain)).then(|| HubAddress::Srv(text.to_owned()))
}

/// Letters, digits and hyphens; not all digits and dots, which would be a mistyped IP address.
fn is_host_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253 && text.split('.').all(is_label) && !last.bytes().all(|b| b.is_ascii_digit())
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl fmt::Display for HubAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Fixed { host, port } => write!(f, "{host}:{port}"),
            Self::Srv(name) => f.write_str(name),
        }
    }
}

impl TryFrom<String> for HubAddress {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<HubAddress> for String {
    fn from(address: HubAddress) -> String {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_what_they_print() {
        for text in [
            "hub.example.com:7443",
            "hub:1",
            "192.0.2.7:7443",
            "[2001:db8::7]:7443",
            "_holdfast._udp.example.com",
        ] {
            let address: HubAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn mistakes_are_named() {
        for text in ["hub.example.com", "hub:0", "hub:65536", "192.0.2.7:0", "hub:"] {
            assert_eq!(text.parse::<HubAddress>(), Err(AddressError::NoPort(text.to_owned())), "{text}");
        }
        for (text, host) in [
            ("192.0.2:7443", "192.0.2"),
            ("2001:db8::7:7443", "2001:db8::7"),
            (":1", ""),
            ("a b:1", "a b"),
            ("-a:1", "-a"),
        ] {
            assert_eq!(text.parse::<HubAddress>(), Err(AddressError::NotAHost(host.to_owned())), "{text}");
        }
        for text in
            ["_holdfast._tcp.example.com", "_holdfast._udp", "_._udp.example.com", "_holdfast._udp.a:1"]
        {
            assert_eq!(
                text.parse::<HubAddress>(),
                Err(AddressError::NotAnSrvName(text.to_owned())),
                "{text}"
            );
        }
    }
}
