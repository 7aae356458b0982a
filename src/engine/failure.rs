//! Why an attempt failed: the class of an error of ureq, and a short reason for people.

use std::io::{self, ErrorKind};

use rustls::{AlertDescription, CertificateError, Error as TlsError, pki_types::UnixTime};
use ureq::{Error, Timeout};

use super::{
    answer_head::Unreadable,
    look_ups::{Unresolved, is_ours},
    progress::{self, Phase},
};
use crate::domain::{
    delivery::Failure, endpoint::Blocked, failure_details::FailureDetails, text::escaped, timestamp::Timestamp,
};

/// Names of a certificate that the reason quotes.
const NAMES: usize = 5;

/// A failure.
pub(super) struct Failed {
    pub(super) class: Failure,
    pub(super) details: FailureDetails,
}

/// The class of an error, and its reason.
pub(super) fn failed(error: &Error) -> Failed {
    Failed { class: class(error), details: FailureDetails::because(&reason(error)) }
}

/// The details of an answer; none if it is a success.
pub(super) fn of_answer(status: u16, headers: &[(String, Vec<u8>)]) -> FailureDetails {
    if (200..300).contains(&status) {
        return FailureDetails::default();
    }
    let location = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("location"));
    let location = location.map(|(_, value)| String::from_utf8_lossy(value));
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
    FailureDetails::of_answer(status, location.as_deref(), headers)
}

/// The class of an error.
pub(super) fn class(error: &Error) -> Failure {
    use Timeout as T;
    match error {
        Error::HostNotFound | Error::Timeout(T::Resolve) => Failure::Dns,
        Error::Other(reason) if reason.is::<Blocked>() => Failure::Blocked,
        Error::Other(reason) if reason.is::<Unresolved>() => Failure::Interrupted,
        Error::Io(error) if is_ours(error) => Failure::Interrupted,
        Error::Io(error) if error.get_ref().is_some_and(|reason| reason.is::<TlsError>()) => Failure::Tls,
        Error::Timeout(_) => Failure::Timeout,
        Error::Tls(_) | Error::Rustls(_) | Error::Pem(_) => Failure::Tls,
        Error::ConnectionFailed => Failure::Connect,
        Error::Io(error) => match (error.kind(), progress::phase()) {
            (ErrorKind::TimedOut, _) => Failure::Timeout,
            (_, Phase::Dialling) => Failure::Connect,
            (_, Phase::Connected) => Failure::Tls,
            (ErrorKind::InvalidData, _) => Failure::Protocol,
            _ => Failure::Reset,
        },
        _ => Failure::Protocol,
    }
}

fn reason(error: &Error) -> String {
    match error {
        Error::HostNotFound | Error::Timeout(Timeout::Resolve) => {
            "the name of its host does not exist, has no address, or its name server does not answer".to_owned()
        }
        Error::Timeout(_) => timed_out().to_owned(),
        Error::Rustls(error) => tls(error),
        Error::Io(error) => io_reason(error),
        Error::ConnectionFailed => "no connection could be made".to_owned(),
        // The guard and the look-ups speak for themselves.
        Error::Other(reason) => reason.to_string(),
        other => other.to_string(),
    }
}

fn timed_out() -> &'static str {
    match progress::phase() {
        Phase::Dialling => "no connection in time: nothing answers at its address and port",
        Phase::Connected => "the TLS handshake did not end in time",
        Phase::Kept | Phase::Ready => "connected, but no answer in time",
        Phase::Answered => "the answer began, but its headers did not end in time",
    }
}

fn not_http() -> String {
    let first = progress::first();
    format!("what came back is not HTTP/1.1: it begins with \"{}\"", escaped(&String::from_utf8_lossy(&first)))
}

fn io_reason(error: &io::Error) -> String {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        return tls(error);
    }
    if let Some(Unreadable::TooLong) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return "the headers of the answer do not end within 256 KiB".to_owned();
    }
    match (error.kind(), progress::phase()) {
        (ErrorKind::TimedOut, _) => timed_out(),
        (ErrorKind::ConnectionRefused, _) => "connection refused: nothing listens at its port",
        (ErrorKind::NetworkUnreachable, _) => "its network cannot be reached from this server",
        (ErrorKind::HostUnreachable, _) => "its host cannot be reached from this server",
        (ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe, Phase::Connected) => {
            "the receiver closed the connection during the TLS handshake"
        }
        (ErrorKind::InvalidData, _) => return not_http(),
        (ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset, Phase::Answered) => {
            "the receiver closed the connection within the headers of its answer"
        }
        (ErrorKind::ConnectionReset, _) => "the receiver reset the connection before it answered",
        (ErrorKind::UnexpectedEof, _) => "the receiver closed the connection before it answered",
        (ErrorKind::BrokenPipe, _) => "the receiver closed the connection while the request was sent",
        _ => return error.to_string(),
    }
    .to_owned()
}

fn tls(error: &TlsError) -> String {
    match error {
        TlsError::InvalidCertificate(flaw) => certificate(flaw),
        TlsError::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion)
        | TlsError::PeerIncompatible(_) => {
            format!("no TLS version or cipher suite in common: TLS 1.2 or 1.3 is needed ({error})")
        }
        TlsError::AlertReceived(alert) => format!("the receiver ended the TLS handshake: {alert:?}"),
        TlsError::InvalidMessage(_) => "what came back is not TLS: is it a port for plain http?".to_owned(),
        TlsError::NoCertificatesPresented => "the receiver has no certificate".to_owned(),
        other => other.to_string(),
    }
}

fn certificate(flaw: &CertificateError) -> String {
    match flaw {
        CertificateError::ExpiredContext { not_after, .. } => format!("its certificate expired on {}", day(not_after)),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("its certificate is not valid before {}", day(not_before))
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let mut names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
            if names.len() > NAMES {
                names.truncate(NAMES);
                names.push("...");
            }
            format!("its certificate is for {}, not for {}", names.join(", "), expected.to_str())
        }
        CertificateError::UnknownIssuer => "its certificate is self-signed, or from an unknown authority".to_owned(),
        other => match other.to_string() {
            own if own.contains("CaUsedAsEndEntity") => {
                "its certificate is self-signed: an authority's own, not a server's".to_owned()
            }
            other => format!("its certificate cannot be used: {other}"),
        },
    }
}

/// The name in the text that rustls makes of it: `DnsName("a.example")`.
fn bare(name: &str) -> &str {
    name.split_once('(').map_or(name, |(_, name)| name.trim_end_matches(')')).trim_matches('"')
}

fn day(time: &UnixTime) -> String {
    let at = Timestamp::from_millis(i64::try_from(time.as_secs().saturating_mul(1000)).unwrap_or(i64::MAX)).to_string();
    at.split('T').next().unwrap_or_default().to_owned()
}
