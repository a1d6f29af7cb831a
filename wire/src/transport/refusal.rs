//! What a broken connection means, for people.
//!
//! TLS says only a number to the other side. A site learns that its certificate was refused after it
//! believes itself connected, because TLS 1.3 lets the client finish first: ask [`explain`] about whatever
//! ended the connection, not only about what ended the handshake.

use quinn::ConnectionError;

/// Why a connection ended and what to do, in one line.
pub fn explain(error: &ConnectionError) -> String {
    match error {
        ConnectionError::TransportError(error) => match alert(u64::from(error.code)) {
            // Our own check failed; rustls' words are in the reason.
            Some(alert) => {
                format!("we refused the other side in the handshake: {}{}", error.reason, remedy(alert))
            }
            None => format!("the other side broke QUIC's rules: {error}"),
        },
        ConnectionError::ConnectionClosed(close) => match alert(u64::from(close.error_code)) {
            Some(alert) => format!("the other side refused us in the handshake: {}", meaning(alert)),
            None => format!("the other side's QUIC gave up: {close}"),
        },
        ConnectionError::ApplicationClosed(close) => format!("the other side closed the connection: {close}"),
        ConnectionError::Reset => "the other side forgot the connection, most likely it restarted".to_owned(),
        ConnectionError::TimedOut => {
            "nothing was heard any more: the path or the other side is down".to_owned()
        }
        ConnectionError::VersionMismatch => "the other side speaks another version of QUIC".to_owned(),
        ConnectionError::LocallyClosed => "we closed the connection".to_owned(),
        ConnectionError::CidsExhausted => "this endpoint has no connection ids left: restart it".to_owned(),
    }
}

/// The TLS alert in a QUIC error code (RFC 9001, 4.8).
fn alert(code: u64) -> Option<u8> {
    code.checked_sub(0x100).and_then(|alert| u8::try_from(alert).ok())
}

/// What to do about an alert we raised ourselves.
fn remedy(alert: u8) -> &'static str {
    match alert {
        // Two authorities of the same name differ only in their signatures.
        48 | 51 => " (both sides need certificates of one and the same authority)",
        45 => " (renew it, or set this machine's clock)",
        _ => "",
    }
}

/// What an alert says about us, who received it (RFC 8446, 6.2).
fn meaning(alert: u8) -> String {
    match alert {
        116 => "it wants a certificate and we showed none".to_owned(),
        48 => "it doesn't trust the authority that signed our certificate: both sides need the same one"
            .to_owned(),
        51 => "our certificate or handshake is not signed by the authority it trusts".to_owned(),
        45 => "our certificate has expired, or is not valid yet, by the other side's clock".to_owned(),
        44 => "our certificate was withdrawn".to_owned(),
        49 => "our certificate is valid, but not for this: a hub wants a site's, a site wants a hub's"
            .to_owned(),
        42 | 43 | 46 => "it can't use our certificate: was it made for this purpose?".to_owned(),
        120 => "it doesn't speak Holdfast: is the address another service's?".to_owned(),
        40 | 70 => "no version or cipher of TLS in common".to_owned(),
        other => format!("TLS alert {other}"),
    }
}
