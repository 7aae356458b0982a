//! The signing secrets of an endpoint, for a page that shows what was signed. Sending uses [`super::Target`].

use super::{Result, View, convert};
use crate::domain::{endpoint::EndpointKey, ids::EndpointId, signature::SigningSecret, timestamp::Timestamp};

/// The secrets of an endpoint, as far as they are there and open with the present key file.
#[derive(Debug)]
pub struct Secrets {
    /// The present secret; `None` if the endpoint is deleted.
    pub present: Option<SigningSecret>,
    /// The former secret, until it is removed after its overlap, and when that ends.
    pub former: Option<(SigningSecret, Timestamp)>,
    /// When the present secret replaced the former one; `None` if there was only one.
    pub changed_at: Option<Timestamp>,
}

/// The secrets of this endpoint.
pub fn of(view: &View<'_>, endpoint: EndpointKey) -> Result<Secrets> {
    let mut rows = view
        .conn
        .prepare_cached("SELECT id, secret, former_secret, former_until, secret_at FROM endpoint WHERE key = ?")?;
    Ok(rows.query_row([endpoint], |row| {
        let id = EndpointId::from_bytes(row.get("id")?);
        let former = row.get::<_, Option<Vec<u8>>>("former_secret")?.and_then(|sealed| view.keys.peek(id, &sealed));
        Ok(Secrets {
            present: view.keys.peek(id, &row.get::<_, Vec<u8>>("secret")?),
            former: former.zip(convert::moment_if(row, "former_until")?),
            changed_at: convert::moment_if(row, "secret_at")?,
        })
    })?)
}
