//! Texts of target URLs that are refused although a lenient parser reads them: two programs, or a program and a person,
//! would read two targets. Each refusal says what to write instead.

use url::{Host, Url};

use crate::domain::{
    excerpt::excerpt,
    text::{escaped, is_hidden},
};

/// The refusal of a URL that signs in.
pub(super) const USER: &str = "it holds a user name or password";

/// Characters that a host name may hold but that vanish from it: two names that look alike would be one.
const VANISHING: [char; 7] = ['\u{ad}', '\u{34f}', '\u{180b}', '\u{200b}', '\u{2060}', '\u{fe0f}', '\u{feff}'];

type Checked = Result<(), String>;

/// Checks what parsers remove or turn around before they read the URL.
pub(super) fn check_before_parsing(text: &str) -> Checked {
    if text.trim() != text {
        return Err("it begins or ends with a space: leave it out".to_owned());
    }
    if text.contains(char::is_control) {
        return Err("it holds a tab, a line break or another control character: leave it out".to_owned());
    }
    if text.contains('\\') {
        return Err("it holds a backslash: write / instead, or %5C where a backslash is meant".to_owned());
    }
    Ok(())
}

/// Checks that every parser reads a text as this one did.
pub(super) fn check(text: &str, url: &Url) -> Checked {
    let scheme = url.scheme();
    let after = text.split_once(':').and_then(|(_, rest)| rest.strip_prefix("//"));
    let Some(after) = after.filter(|after| !after.starts_with('/')) else {
        return Err(format!("two slashes and a host must follow {scheme}: ; write {scheme}://example.com/..."));
    };
    let authority = after.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(USER.to_owned());
    }
    if url.fragment().is_some() {
        return Err(
            "it has a fragment, which no request carries: leave out # and what follows, or write %23".to_owned()
        );
    }
    // A port follows the last colon, but an IPv6 address has colons of its own.
    let host = match authority.rsplit_once(':') {
        Some((host, _)) if !authority.ends_with(']') => host,
        _ => authority,
    };
    check_host(host, url)
}

fn check_host(host: &str, url: &Url) -> Checked {
    match url.host() {
        Some(Host::Ipv4(address)) if host != address.to_string() => {
            Err(format!("its host {} is read as the address {address}: write {address}", excerpt(&escaped(host))))
        }
        Some(Host::Domain(name)) if host.contains('%') => {
            Err(format!("its host {} is written with percent signs: write {name}", excerpt(&escaped(host))))
        }
        Some(Host::Domain(name)) if host.contains(|c: char| is_hidden(c) || VANISHING.contains(&c)) => {
            Err(format!("its host holds a character that is not seen: write {name}"))
        }
        _ => Ok(()),
    }
}
