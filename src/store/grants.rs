//! Whether an actor may still act: the right of a request may be gone since it began.

use rusqlite::{Connection, OptionalExtension};

use super::{Result, sessions, tokens};
use crate::domain::{audit::Actor, timestamp::Timestamp};

/// Checks of a request that its token still stands, belongs to the same account and has the scope, and that its session has not
/// ended. The tokens of an account go with it, so the account itself needs no look.
///
/// # Errors
/// [`Error::Unauthorized`](crate::error::Error::Unauthorized) if the token or the session is gone;
/// [`Error::Forbidden`](crate::error::Error::Forbidden) if only the scope is.
pub(super) fn check(conn: &Connection, actor: Actor, now: Timestamp) -> Result<()> {
    let Actor::Request(grant) = actor else { return Ok(()) };
    let mut rows =
        conn.prepare_cached("SELECT scopes FROM token WHERE id = ? AND account IS ? AND revoked_at IS NULL")?;
    let scopes = rows.query_row((grant.token().to_bytes(), grant.account()), tokens::scopes).optional()?;
    let stands = grant.session().map_or(Ok(true), |session| sessions::stands(conn, session, now))?;
    match scopes {
        Some(scopes) if stands => grant.check_scopes(&scopes),
        _ => Err(grant.ended()),
    }
}
