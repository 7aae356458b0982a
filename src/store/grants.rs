//! Checks whether an actor may still act: since a request began, its token or session may be gone.

use rusqlite::{Connection, OptionalExtension, Row};

use super::{Result, convert, sessions, tokens};
use crate::domain::{audit::Actor, timestamp::Timestamp};

/// For a request, checks that its token is valid, belongs to the same account and has the scope, and that its session
/// has not ended. An erased account loses its tokens, so the account itself needs no check.
///
/// # Errors
/// [`Error::Unauthorized`](crate::error::Error::Unauthorized) if the token or the session is gone, or the token expired;
/// [`Error::Forbidden`](crate::error::Error::Forbidden) if only the scope is.
pub(super) fn check(conn: &Connection, actor: Actor, now: Timestamp) -> Result<()> {
    let Actor::Request(grant) = actor else { return Ok(()) };
    let mut rows = conn
        .prepare_cached("SELECT scopes, valid_until FROM token WHERE id = ? AND account IS ? AND revoked_at IS NULL")?;
    let read = |row: &Row<'_>| Ok((tokens::scopes(row)?, convert::moment_if(row, "valid_until")?));
    let found = rows.query_row((grant.token().to_bytes(), grant.account()), read).optional()?;
    let stands = grant.session().map_or(Ok(true), |session| sessions::stands(conn, session, now))?;
    match found {
        Some((_, Some(until))) if until <= now => Err(grant.expired(until)),
        Some((scopes, _)) if stands => grant.check_scopes(&scopes),
        _ => Err(grant.ended()),
    }
}
