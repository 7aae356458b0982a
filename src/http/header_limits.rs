//! The head of a request: it is refused, before anything else is done, if it is larger than any client needs or does
//! not name one host.

use poem::{
    Error, Request, Result,
    http::{StatusCode, Version, header},
};

use crate::config::Limits;

/// Checks URL and headers against the limits, and that there is one host (RFC 9112, section 3.2).
pub(super) fn check(request: &Request, limits: &Limits) -> Result<()> {
    let url = request.original_uri();
    let path = url.path_and_query().map_or(0, |path| path.as_str().len());
    let url_bytes = path + url.authority().map_or(0, |host| host.as_str().len());
    if url_bytes > limits.request_url_bytes {
        let most = limits.request_url_bytes;
        let message = format!("the URL has {url_bytes} bytes: at most {most} are taken (limits.request_url_bytes)");
        return Err(Error::from_string(message, StatusCode::URI_TOO_LONG));
    }
    let too_large = |message| Err(Error::from_string(message, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    let headers = request.headers();
    let (count, most) = (headers.len(), limits.request_headers);
    if count > most {
        return too_large(format!(
            "the request has {count} headers: at most {most} are taken (limits.request_headers)"
        ));
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let most = limits.request_header_bytes;
    if bytes > most {
        return too_large(format!(
            "the headers have {bytes} bytes: at most {most} are taken (limits.request_header_bytes)"
        ));
    }
    let hosts = headers.get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        let message = format!("the request has {hosts} Host headers: HTTP/1.1 asks for one");
        return Err(Error::from_string(message, StatusCode::BAD_REQUEST));
    }
    Ok(())
}
