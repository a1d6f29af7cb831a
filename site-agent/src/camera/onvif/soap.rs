//! ONVIF as text: requests, log-ins, and what is looked for in answers. Pure.
//!
//! Answers are looked through for elements by their local names; their namespaces are what differs most between
//! cameras, and a name that is not ONVIF's does not occur in these few answers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::config::Credentials;

const SECURITY: &str = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd";
const UTILITY: &str = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd";
const DIGEST: &str =
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordDigest";
/// More encoders than a camera has: main, sub and two more.
const ENCODERS_MAX: usize = 4;

/// What is asked of a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question<'a> {
    Clock,
    MediaService,
    Profiles,
    /// A keyframe of the encoder of this profile, named as the camera did.
    Keyframe(&'a str),
}

impl Question<'_> {
    /// The request's action, for its headers.
    pub(super) fn action(self) -> &'static str {
        match self {
            Self::Clock => "http://www.onvif.org/ver10/device/wsdl/GetSystemDateAndTime",
            Self::MediaService => "http://www.onvif.org/ver10/device/wsdl/GetCapabilities",
            Self::Profiles => "http://www.onvif.org/ver10/media/wsdl/GetProfiles",
            Self::Keyframe(_) => "http://www.onvif.org/ver10/media/wsdl/SetSynchronizationPoint",
        }
    }

    /// The request, with a log-in if there is one.
    pub(super) fn envelope(self, token: Option<&str>) -> String {
        let (tds, trt) = ("http://www.onvif.org/ver10/device/wsdl", "http://www.onvif.org/ver10/media/wsdl");
        let body = match self {
            Self::Clock => format!("<GetSystemDateAndTime xmlns=\"{tds}\"/>"),
            Self::MediaService => {
                format!("<GetCapabilities xmlns=\"{tds}\"><Category>Media</Category></GetCapabilities>")
            }
            Self::Profiles => format!("<GetProfiles xmlns=\"{trt}\"/>"),
            Self::Keyframe(profile) => format!(
                "<SetSynchronizationPoint xmlns=\"{trt}\"><ProfileToken>{profile}</ProfileToken>\
                 </SetSynchronizationPoint>"
            ),
        };
        let header = token.map(|token| format!("<s:Header>{token}</s:Header>")).unwrap_or_default();
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><s:Envelope \
             xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\">{header}<s:Body>{body}</s:Body></s:Envelope>"
        )
    }
}

/// A WS-UsernameToken: the password only as a digest, with a nonce and the camera's time (seconds since 1970).
pub(super) fn username_token(log_in: &Credentials, nonce: &[u8], now_s: i64) -> String {
    let created =
        Timestamp::from_second(now_s).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut hash = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    for part in [nonce, created.as_bytes(), log_in.password.reveal().as_bytes()] {
        hash.update(part);
    }
    let (digest, nonce, user) =
        (BASE64.encode(hash.finish()), BASE64.encode(nonce), escaped(&log_in.username));
    format!(
        "<Security s:mustUnderstand=\"1\" xmlns=\"{SECURITY}\"><UsernameToken><Username>{user}</Username>\
         <Password Type=\"{DIGEST}\">{digest}</Password><Nonce>{nonce}</Nonce>\
         <Created xmlns=\"{UTILITY}\">{created}</Created></UsernameToken></Security>"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The camera's clock, in seconds since 1970.
pub(super) fn clock(answer: &str) -> Option<i64> {
    let utc = first(answer, "UTCDateTime")?;
    let number = |name: &str| first(utc.content, name)?.content.trim().parse::<i16>().ok();
    let small = |name: &str| i8::try_from(number(name)?).ok();
    // A leap second is the second before it.
    let second = small("Second")?.min(59);
    let time = DateTime::new(
        number("Year")?,
        small("Month")?,
        small("Day")?,
        small("Hour")?,
        small("Minute")?,
        second,
        0,
    );
    Some(time.ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

/// Where a camera says that its Media service is.
pub(super) fn media_service(answer: &str) -> Option<&str> {
    Some(first(first(answer, "Media")?.content, "XAddr")?.content.trim())
}

/// A profile for each encoder that has one, as the camera names it.
pub(super) fn profiles(answer: &str) -> Vec<String> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    for profile in elements(answer, "Profiles") {
        let Some(token) = profile.attribute("token") else { continue };
        let Some(encoder) = first(profile.content, "VideoEncoderConfiguration") else { continue };
        let encoder = encoder.attribute("token").unwrap_or(token);
        if found.len() < ENCODERS_MAX && found.iter().all(|(_, known)| *known != encoder) {
            found.push((token, encoder));
        }
    }
    found.into_iter().map(|(token, _)| token.to_owned()).collect()
}

/// Is this the answer to that question, and no complaint?
pub(super) fn is_answer(answer: &str, question: Question<'_>) -> bool {
    let name = question.action().rsplit('/').next().unwrap_or_default();
    first(answer, &format!("{name}Response")).is_some()
}

/// What a camera complains of, for people.
pub(super) fn complaint(answer: &str) -> Option<String> {
    let reason = first(first(answer, "Reason")?.content, "Text")?;
    let said: String =
        reason.content.trim().chars().filter(|letter| !letter.is_control()).take(120).collect();
    (!said.is_empty()).then_some(said)
}

/// An element: what stands in its tag behind its name, and between that tag and its end.
#[derive(Clone, Copy)]
struct Element<'a> {
    attributes: &'a str,
    content: &'a str,
}

impl<'a> Element<'a> {
    fn attribute(self, name: &str) -> Option<&'a str> {
        let mut rest = self.attributes;
        loop {
            let (before, after) = rest.split_once('=')?;
            let quote = after.trim_start().chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
            let (value, behind) = after.trim_start()[1..].split_once(quote)?;
            if before.trim() == name {
                return Some(value);
            }
            rest = behind;
        }
    }
}

fn first<'a>(text: &'a str, name: &str) -> Option<Element<'a>> {
    elements(text, name).next()
}

/// The elements of that local name, in order; none is looked for within one that was found.
fn elements<'a>(mut text: &'a str, name: &str) -> impl Iterator<Item = Element<'a>> {
    std::iter::from_fn(move || {
        loop {
            let (_, behind) = text.split_once('<')?;
            let (tag, after) = behind.split_once('>')?;
            text = after;
            let (tag, empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
            let (full, attributes) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
            if full.rsplit(':').next() != Some(name) || full.starts_with('/') {
                continue;
            }
            if empty {
                return Some(Element { attributes, content: "" });
            }
            let (content, rest) = after.split_once(format!("</{full}").as_str())?;
            text = rest;
            return Some(Element { attributes, content });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn log_in() -> Credentials {
        Credentials { username: "a&b".to_owned(), password: Secret::new("userpassword") }
    }

    #[test]
    fn the_digest_is_that_of_onvif_s_own_example() {
        // ONVIF Application Programmer's Guide 1.0, 6.1.1.3.
        let nonce = BASE64.decode("LKqI6G/AikKCQrN0zqZFlg==").unwrap();
        let token = username_token(&log_in(), &nonce, 1_284_624_427);
        assert!(token.contains(">2010-09-16T08:07:07Z<"), "{token}");
        assert!(token.contains(">LKqI6G/AikKCQrN0zqZFlg==<") && token.contains(">a&amp;b<"), "{token}");
        let mut hash = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
        hash.update(&[&nonce[..], b"2010-09-16T07:50:45Z", b"userpassword"].concat());
        assert_eq!(BASE64.encode(hash.finish()), "tuOSpGlFlIXsozq4HFNeeGeFLEI=", "the example's digest");
        assert!(!token.contains("userpassword"));
    }

    #[test]
    fn a_clock_is_read_whatever_its_prefix() {
        let answer = "<a><x:UTCDateTime><x:Time><x:Hour>7</x:Hour><x:Minute>59</x:Minute><x:Second>60</x:Second>\
                      </x:Time><Date><Year>2026</Year><Month>2</Month><Day>28</Day></Date></x:UTCDateTime></a>";
        assert_eq!(clock(answer), Some(1_772_265_599));
        assert_eq!(clock(&answer.replace("<Month>2<", "<Month>13<")), None);
        assert_eq!(clock("<UTCDateTime/>"), None);
    }

    #[test]
    fn a_profile_is_taken_for_each_encoder() {
        let answer = "<trt:Profiles fixed='true' token=\"one\"><tt:VideoEncoderConfiguration token=\"e1\"/>\
                      </trt:Profiles><trt:Profiles token=\"sound\"><tt:Name/></trt:Profiles>\
                      <trt:Profiles token=\"copy\"><tt:VideoEncoderConfiguration token=\"e1\"/></trt:Profiles>\
                      <trt:Profiles token=\"two\"><tt:VideoEncoderConfiguration token=\"e2\"></tt:VideoEncoderConfiguration>\
                      </trt:Profiles>";
        assert_eq!(profiles(answer), ["one", "two"]);
        let many: String = (0..9).map(|at| answer.replace("e1", &format!("x{at}"))).collect();
        assert_eq!(profiles(&many).len(), ENCODERS_MAX);
        assert!(profiles("<Profiles token=\"open").is_empty());
    }

    #[test]
    fn answers_are_told_from_complaints() {
        let fault =
            "<Body><Fault><Reason><Text xml:lang=\"en\"> no\nsuch profile </Text></Reason></Fault></Body>";
        assert!(!is_answer(fault, Question::Keyframe("p")));
        assert_eq!(complaint(fault).as_deref(), Some("nosuch profile"));
        assert!(is_answer("<t:SetSynchronizationPointResponse/>", Question::Keyframe("p")));
        assert!(!is_answer("<html>login</html>", Question::Profiles));
        assert_eq!(
            media_service("<Media><XAddr> http://10.0.0.9/m </XAddr></Media>"),
            Some("http://10.0.0.9/m")
        );
        assert!(Question::Keyframe("p").envelope(Some("<T/>")).contains("<s:Header><T/></s:Header>"));
    }
}
