//! The headers that the owner of an endpoint adds to every request: names in the clear, so that they can be shown without
//! the key file, and all of them sealed. The bytes are the length of the names (2 bytes), the names (a JSON list), and the
//! sealed rest.

use rusqlite::{OptionalExtension, Row};
use sha2::{Digest, Sha256};

use super::{Result, Tx, View, audit};
use crate::{
    domain::{
        audit::Action,
        endpoint::{Endpoint, EndpointKey},
        ids::EndpointId,
        own_headers::OwnHeaders,
    },
    error::{Error, Missing},
};

/// Writes the headers of an endpoint that was just registered.
pub fn write(tx: &Tx<'_>, endpoint: &Endpoint, headers: &OwnHeaders) -> Result<()> {
    let bytes = if headers.is_empty() { None } else { Some(bytes(tx, endpoint.id, headers)?) };
    tx.conn.prepare_cached("UPDATE endpoint SET own_headers = ?2 WHERE key = ?1")?.execute((endpoint.key, bytes))?;
    Ok(())
}

/// Changes the headers of an endpoint, from the next attempt on.
pub fn set(tx: &Tx<'_>, endpoint: &Endpoint, headers: &OwnHeaders) -> Result<()> {
    if get(tx, endpoint)? == *headers {
        return Ok(());
    }
    write(tx, endpoint, headers)?;
    // Claims that have not begun are given back.
    tx.changed(endpoint.key);
    let names: Vec<&str> = headers.names().collect();
    let note = if names.is_empty() { "headers none".to_owned() } else { format!("headers {}", names.join(", ")) };
    audit::of_endpoint(tx, Action::WebhookChanged, endpoint.key, Some(&note))
}

/// The headers of an endpoint.
///
/// # Errors
/// When they cannot be read.
pub fn get(view: &View<'_>, endpoint: &Endpoint) -> Result<OwnHeaders> {
    let mut rows = view.conn.prepare_cached("SELECT own_headers FROM endpoint WHERE key = ?")?;
    let bytes = rows.query_row([endpoint.key], |row| row.get::<_, Option<Vec<u8>>>(0))?;
    of(view, endpoint.id, bytes)
}

/// The headers in these bytes of the row of an endpoint.
///
/// # Errors
/// Bytes that do not open.
pub(super) fn of(view: &View<'_>, endpoint: EndpointId, bytes: Option<Vec<u8>>) -> Result<OwnHeaders> {
    let Some(bytes) = bytes else { return Ok(OwnHeaders::default()) };
    let unreadable = || Error::Internal(format!("the headers of endpoint {endpoint} cannot be read"));
    let (_, sealed) = split(&bytes).ok_or_else(unreadable)?;
    let opened = view.keys.open_bytes(view.conn, endpoint.to_bytes(), sealed)?;
    OwnHeaders::from_stored(&opened).ok_or_else(unreadable)
}

/// The names in the row of an endpoint.
pub(super) fn names(row: &Row<'_>) -> rusqlite::Result<Vec<String>> {
    let bytes: Option<Vec<u8>> = row.get("own_headers")?;
    let names = bytes.as_deref().and_then(split).and_then(|(names, _)| serde_json::from_slice(names).ok());
    Ok(names.unwrap_or_default())
}

/// A mark of these bytes of a row, which does not reveal the headers: others have another mark.
pub(super) fn mark(bytes: Option<&[u8]>) -> [u8; 8] {
    let digest: [u8; 32] = Sha256::digest(bytes.unwrap_or_default()).into();
    let mut mark = [0; 8];
    mark.copy_from_slice(&digest[..8]);
    mark
}

/// The names of the headers that the owner of this endpoint adds.
///
/// # Errors
/// [`Error::NotFound`] if there is no such endpoint.
pub fn names_of(view: &View<'_>, endpoint: EndpointId) -> Result<Vec<String>> {
    let mut rows = view.conn.prepare_cached("SELECT own_headers FROM endpoint WHERE id = ?")?;
    rows.query_row([endpoint.to_bytes()], names).optional()?.ok_or(Error::NotFound(Missing::Webhook))
}

/// Encrypts the headers of an endpoint again, with the current key.
pub(super) fn reseal(tx: &Tx<'_>, endpoint: EndpointKey, id: EndpointId, former: Vec<u8>) -> Result<()> {
    let again = bytes(tx, id, &of(tx, id, Some(former))?)?;
    tx.conn.prepare_cached("UPDATE endpoint SET own_headers = ?2 WHERE key = ?1")?.execute((endpoint, again))?;
    Ok(())
}

/// The sealed part.
pub(super) fn sealed(bytes: &[u8]) -> &[u8] {
    split(bytes).map_or(&[], |(_, sealed)| sealed)
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(2)?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(length.try_into().ok()?)))
}

fn bytes(tx: &Tx<'_>, endpoint: EndpointId, headers: &OwnHeaders) -> Result<Vec<u8>> {
    let names = serde_json::json!(headers.names().collect::<Vec<_>>()).to_string();
    let length =
        u16::try_from(names.len()).map_err(|_| Error::Internal("names of headers that are too long".to_owned()))?;
    let sealed = tx.keys.seal_bytes(tx.conn, endpoint.to_bytes(), headers.stored().as_bytes())?;
    Ok([&length.to_le_bytes()[..], names.as_bytes(), &sealed].concat())
}
