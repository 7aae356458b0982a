//! Conversions between SQLite and the domain: errors, and the types of columns.

use std::time::Duration;

use rusqlite::{ErrorCode, Row, types::Type};

use crate::{
    domain::{
        alert::Kind,
        delivery::{Failure, State},
        endpoint::{EndpointState, SuspendedReason},
        notice,
        operator_alert::About,
        recovery::RecoveryState,
        timestamp::Timestamp,
    },
    error::Error,
};

/// The result of every verb of the store.
///
/// A verb that names no errors fails only for faults of the database: [`Error::Unavailable`] while the disk is full or
/// another process keeps the database busy, [`Error::Internal`] for any other.
pub type Result<T, E = Error> = crate::error::Result<T, E>;

/// On a small file system it may be the shared memory file beside the database that does not fit.
const NO_ROOM_FOR_SHM: i32 = rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        if is_full(&error) {
            return Self::Unavailable("the disk is full: nothing was stored; free some space and try again".to_owned());
        }
        if matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) {
            return Self::Unavailable(
                "another process keeps the database busy: nothing was stored; try again".to_owned(),
            );
        }
        Self::Internal(format!("database: {error}"))
    }
}

impl From<r2d2::Error> for Error {
    fn from(_: r2d2::Error) -> Self {
        Self::Unavailable("every reading connection is busy: try again".to_owned())
    }
}

pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    error
        .sqlite_error()
        .is_some_and(|error| error.code == ErrorCode::DiskFull || error.extended_code == NO_ROOM_FOR_SHM)
}

/// A text column that is shown and compared; a damaged file may hold any bytes there.
pub(super) fn text(row: &Row<'_>, column: &str) -> rusqlite::Result<String> {
    Ok(String::from_utf8_lossy(row.get_ref(column)?.as_bytes()?).into_owned())
}

pub(super) fn moment(row: &Row<'_>, column: &str) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_millis)
}

/// A moment in a column that may be NULL.
pub(super) fn moment_if(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis))
}

/// A time in a column, in milliseconds.
pub(super) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// The value of a name that a CHECK allows.
fn one_of<T: Copy>(text: &str, all: &[T], name: fn(T) -> &'static str) -> rusqlite::Result<T> {
    all.iter().copied().find(|value| name(*value) == text).ok_or_else(|| unreadable(text))
}

/// The error for a value that no CHECK allows: the file is damaged.
pub(super) fn unreadable(text: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, format!("unexpected value '{text}'").into())
}

pub(super) fn state(text: &str) -> rusqlite::Result<State> {
    one_of(text, &State::ALL, State::name)
}

pub(super) fn recovery_state(text: &str) -> rusqlite::Result<RecoveryState> {
    one_of(text, &RecoveryState::ALL, RecoveryState::name)
}

pub(super) fn failure(text: &str) -> rusqlite::Result<Failure> {
    one_of(text, &Failure::ALL, Failure::name)
}

pub(super) fn alert_kind(text: &str) -> rusqlite::Result<Kind> {
    one_of(text, &Kind::ALL, Kind::name)
}

pub(super) fn about(text: &str) -> rusqlite::Result<About> {
    one_of(text, &About::ALL, About::name)
}

pub(super) fn notice_kind(text: &str) -> rusqlite::Result<notice::Kind> {
    one_of(text, &notice::Kind::ALL, notice::Kind::name)
}

pub(super) fn endpoint_state(text: &str) -> rusqlite::Result<EndpointState> {
    const ALL: [EndpointState; 3] = [EndpointState::Active, EndpointState::Suspended, EndpointState::Deleted];
    one_of(text, &ALL, endpoint_state_name)
}

/// Why an endpoint is suspended, if it is.
pub(super) fn suspended_reason(text: Option<String>) -> rusqlite::Result<Option<SuspendedReason>> {
    text.map(|text| one_of(&text, &SuspendedReason::ALL, SuspendedReason::name)).transpose()
}

/// The stored name of an endpoint's state.
pub(super) fn endpoint_state_name(state: EndpointState) -> &'static str {
    match state {
        EndpointState::Active => "active",
        EndpointState::Suspended => "suspended",
        EndpointState::Deleted => "deleted",
    }
}
