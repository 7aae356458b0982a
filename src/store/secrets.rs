//! The signing secrets of an endpoint: a new one takes the place of the present one, and a page shows the signed bytes.
//! Sending uses [`super::Target`].

use std::time::Duration;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::{Result, Tx, View, audit, convert};
use crate::{
    domain::{
        audit::Action,
        endpoint::{Endpoint, EndpointKey},
        ids::EndpointId,
        signature::{SigningSecret, Switch},
        timestamp::Timestamp,
    },
    error::{Conflict, Error},
};

/// The secrets of an endpoint, as far as they are there and open with the present key file.
#[derive(Debug)]
pub struct Secrets {
    /// The present secret; `None` if the endpoint is deleted.
    pub present: Option<SigningSecret>,
    /// The former secret, until it is removed after its overlap.
    pub former: Option<Former>,
    /// When the present secret replaced the former one; `None` if there was only one.
    pub changed_at: Option<Timestamp>,
}

/// A secret that was replaced.
#[derive(Debug)]
pub struct Former {
    /// The secret.
    pub secret: SigningSecret,
    /// Since when it signed; `None`: since the endpoint was registered.
    pub since: Option<Timestamp>,
    /// When its overlap ends.
    pub until: Timestamp,
    /// When the vendor's header changes to the present secret.
    pub switch: Switch,
}

/// The secrets of this endpoint.
pub fn of(view: &View<'_>, endpoint: EndpointKey) -> Result<Secrets> {
    let mut rows = view.conn.prepare_cached(
        "SELECT id, secret, former_secret, former_at, former_until, former_leads, secret_at FROM endpoint WHERE key = ?",
    )?;
    Ok(rows.query_row([endpoint], |row| {
        let id = EndpointId::from_bytes(row.get("id")?);
        let former = row.get::<_, Option<Vec<u8>>>("former_secret")?.and_then(|sealed| view.keys.peek(id, &sealed));
        let (since, until) = (convert::moment_if(row, "former_at")?, convert::moment_if(row, "former_until")?);
        let switch = if row.get("former_leads")? { Switch::AfterOverlap } else { Switch::Now };
        Ok(Secrets {
            present: view.keys.peek(id, &row.get::<_, Vec<u8>>("secret")?),
            former: former.zip(until).map(|(secret, until)| Former { secret, since, until, switch }),
            changed_at: convert::moment_if(row, "secret_at")?,
        })
    })?)
}

/// Gives an endpoint a new secret. The former one signs too for `overlap`, and the vendor's header changes to the new one
/// as `switch` says. Returns when the overlap ends; `None` if the endpoint has this secret already.
///
/// # Errors
/// [`Error::Conflict`] while another former secret still signs, unless the change is to be made now: that one's receiver
/// would be cut off.
pub fn set(
    tx: &Tx<'_>,
    endpoint: &Endpoint,
    secret: &SigningSecret,
    overlap: Duration,
    switch: Option<Switch>,
) -> Result<Option<Timestamp>> {
    let sql = "SELECT secret, former_until FROM endpoint WHERE key = ?";
    let (sealed, former_until): (Vec<u8>, _) = tx
        .conn
        .prepare_cached(sql)?
        .query_row([endpoint.key], |row| Ok((row.get("secret")?, convert::moment_if(row, "former_until")?)))?;
    if tx.keys.open(tx.conn, endpoint.id, &sealed)? == *secret {
        // A repeated request must not push out the former secret.
        return Ok(None);
    }
    if let Some(until) = former_until.filter(|until| switch != Some(Switch::Now) && tx.now < *until) {
        let message = format!(
            "a former secret of this webhook signs until {until}: ask again then, or end its right to sign (\"switch\": \"now\")"
        );
        return Err(Error::conflict(Conflict::Overlap, message));
    }
    let until = tx.now + overlap;
    tx.conn
        .prepare_cached(
            // While a former secret leads, the present one does not sign the vendor's header.
            "UPDATE endpoint SET former_at = iif(former_leads, max(secret_at, min(former_until, ?5)), secret_at),
               former_secret = secret, former_until = ?2, former_leads = ?3, secret = ?4, secret_at = ?5
             WHERE key = ?1",
        )?
        .execute((
            endpoint.key,
            until.millis(),
            switch == Some(Switch::AfterOverlap),
            tx.keys.seal(tx.conn, endpoint.id, secret)?,
            tx.now.millis(),
        ))?;
    tx.changed(endpoint.key);
    audit::of_endpoint(tx, Action::SecretChanged, endpoint.key, None)?;
    Ok(Some(until))
}

/// A mark of the endpoint's secret, which does not reveal it: another secret has another mark.
pub fn mark(view: &View<'_>, key: EndpointKey) -> Result<String> {
    let mut rows = view.conn.prepare_cached("SELECT secret FROM endpoint WHERE key = ?")?;
    let sealed: Vec<u8> = rows.query_row([key], |row| row.get(0))?;
    Ok(HEXLOWER.encode(&Sha256::digest(sealed)[..8]))
}

/// Checks that the endpoint's secret has this mark.
///
/// # Errors
/// [`Error::Conflict`] if the secret is another one.
pub fn expect(tx: &Tx<'_>, key: EndpointKey, wanted: &str) -> Result<()> {
    if mark(tx, key)? == wanted {
        return Ok(());
    }
    Err(Error::conflict(Conflict::Different, "its secret was changed meanwhile: load the page again and look first"))
}
