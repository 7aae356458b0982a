//! The header `If-Match`: the versions of a webhook to which a request may be applied.

use poem::Request;

use super::header::{HeaderOf, OfHeader};
use crate::{domain::version::IfMatch, error::Result};

/// The versions that a request names. One that is no text names a version that no webhook has.
pub(crate) type OnlyIf = HeaderOf<IfMatch>;

impl OfHeader for IfMatch {
    fn read(request: &Request, name: &str) -> Result<Self> {
        let lines = request.headers().get_all(name).iter();
        let lines: Vec<_> = lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
        // Several lines are one list (RFC 9110, section 5.3).
        Ok(Self::parse((!lines.is_empty()).then(|| lines.join(",")).as_deref()))
    }
}
