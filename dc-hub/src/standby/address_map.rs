//! Cameras as this node reaches them: two hundred sites share 192.168.1.0/24, and a VPN gives each another range
//! on this side. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use decide::SiteId;
use site_agent::camera::Onvif;
use site_agent::config::Accepted;
use url::Url;

/// A range of addresses, as `192.168.1.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    first: IpAddr,
    prefix: u8,
}

/// One range of one site, and where this node finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    site: SiteId,
    from: Range,
    to: Range,
}

/// Why ranges don't fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// It is none.
    #[error("is no range of addresses; write, for example, \"192.168.1.0/24\"")]
    NotARange,
    /// Its first address isn't its first.
    #[error("begins in the middle of a range; write \"{0}\"")]
    NotTheFirst(Range),
    /// One has more addresses than the other, or is of another kind.
    #[error("has another size than {0}; both need the same number after the slash")]
    OtherSize(Range),
}

impl Rule {
    /// `from`, as the site's configuration has it, is `to` here.
    pub fn new(site: SiteId, from: Range, to: Range) -> Result<Self, RangeError> {
        let same = from.prefix == to.prefix && from.first.is_ipv4() == to.first.is_ipv4();
        if same { Ok(Self { site, from, to }) } else { Err(RangeError::OtherSize(from)) }
    }

    fn map(&self, address: IpAddr) -> Option<IpAddr> {
        let host = bits(address) & self.from.host_mask();
        let inside =
            address.is_ipv4() == self.from.first.is_ipv4() && bits(address) - host == bits(self.from.first);
        inside.then(|| of_bits(bits(self.to.first) | host, address.is_ipv4()))
    }
}

/// Rewrites the addresses of a site's cameras; the first rule that fits counts, names stay as they are.
pub(super) fn apply(rules: &[Rule], accepted: &mut Accepted) {
    let site = accepted.site.clone();
    let map = |url: &mut Url| {
        let host = url.host_str().unwrap_or_default();
        let Ok(address) = host.trim_matches(['[', ']']).parse() else { return };
        let mapped = rules.iter().filter(|rule| rule.site == site).find_map(|rule| rule.map(address));
        if let Some(mapped) = mapped {
            let _ = url.set_ip_host(mapped); // a URL with a host can have another
        }
    };
    for camera in &mut accepted.cameras {
        camera.streams.iter_mut().for_each(|stream| map(&mut stream.url));
        if let Some(onvif) = &mut camera.onvif {
            let mut url = onvif.service().clone();
            map(&mut url);
            *onvif = Arc::new(Onvif::new(url));
        }
    }
}

impl Range {
    fn host_mask(self) -> u128 {
        let host_bits = u32::from(if self.first.is_ipv4() { 32 } else { 128 } - self.prefix);
        1_u128.checked_shl(host_bits).map_or(u128::MAX, |beyond| beyond - 1)
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn of_bits(bits: u128, v4: bool) -> IpAddr {
    match u32::try_from(bits) {
        Ok(bits) if v4 => Ipv4Addr::from(bits).into(),
        _ => Ipv6Addr::from(bits).into(),
    }
}

impl FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let (first, prefix) = text.split_once('/').ok_or(RangeError::NotARange)?;
        let first: IpAddr = first.parse().map_err(|_| RangeError::NotARange)?;
        let prefix: u8 = prefix.parse().map_err(|_| RangeError::NotARange)?;
        if prefix > if first.is_ipv4() { 32 } else { 128 } {
            return Err(RangeError::NotARange);
        }
        let range = Self { first, prefix };
        let begins = of_bits(bits(first) & !range.host_mask(), first.is_ipv4());
        if begins == first { Ok(range) } else { Err(RangeError::NotTheFirst(Self { first: begins, prefix })) }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(from: &str, to: &str) -> Result<Rule, RangeError> {
        Rule::new(SiteId::new("shop-1").unwrap(), from.parse()?, to.parse()?)
    }

    fn mapped(rule: &Rule, address: &str) -> Option<String> {
        rule.map(address.parse().unwrap()).map(|address| address.to_string())
    }

    #[test]
    fn an_address_keeps_its_place_in_the_range() {
        let lan = rule("192.168.1.0/24", "10.7.1.0/24").unwrap();
        assert_eq!(mapped(&lan, "192.168.1.64").as_deref(), Some("10.7.1.64"));
        assert_eq!(mapped(&lan, "192.168.2.64"), None);
        assert_eq!(mapped(&lan, "::1"), None);
        let all = rule("0.0.0.0/0", "0.0.0.0/0").unwrap();
        assert_eq!(mapped(&all, "192.168.1.64").as_deref(), Some("192.168.1.64"));
        let one = rule("fd00::5/128", "fd00:7::1/128").unwrap();
        assert_eq!(mapped(&one, "fd00::5").as_deref(), Some("fd00:7::1"));
        assert_eq!(mapped(&one, "fd00::6"), None);
        let wide = rule("::/0", "::/0").unwrap();
        assert_eq!(mapped(&wide, "fd00::5").as_deref(), Some("fd00::5"));
    }

    #[test]
    fn ranges_that_don_t_fit_are_refused() {
        for bad in ["", "192.168.1.0", "192.168.1.0/33", "lan/24"] {
            assert_eq!(bad.parse::<Range>(), Err(RangeError::NotARange), "{bad}");
        }
        let error = "192.168.1.9/24".parse::<Range>().unwrap_err();
        assert!(error.to_string().contains("192.168.1.0/24"), "{error}");
        assert!(matches!(rule("192.168.1.0/24", "10.7.0.0/16"), Err(RangeError::OtherSize(_))));
        assert!(matches!(rule("192.168.1.0/24", "fd00::/24"), Err(RangeError::OtherSize(_))));
    }
}
