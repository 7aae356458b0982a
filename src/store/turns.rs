//! Turns: how often the receiver of an endpoint has turned from succeeding to failing, or back. They tell, without a
//! clock, whether anything was delivered since a delivery failed first.
//!
//! A turn back to succeeding is a success of an attempt that was claimed after the turn to failing.

use rusqlite::OptionalExtension;

use super::{Result, Target, Tx, alerts};
use crate::domain::{
    delivery::{DeliveryKey, Meanwhile, Outcome},
    endpoint::EndpointKey,
};

/// The outcomes of other deliveries to the endpoint since this one failed first in its schedule.
pub(super) fn meanwhile(tx: &Tx<'_>, endpoint: EndpointKey, delivery: DeliveryKey) -> Result<Meanwhile> {
    let mut rows = tx.conn.prepare_cached(
        "SELECT first_failed = (SELECT turns FROM endpoint WHERE key = ?1) FROM delivery WHERE key = ?2",
    )?;
    let nothing: Option<Option<bool>> = rows.query_row((endpoint, delivery), |row| row.get(0)).optional()?;
    Ok(match nothing.flatten() {
        Some(false) => Meanwhile::Delivered,
        Some(true) | None => Meanwhile::Nothing,
    })
}

/// Notes the outcome of an attempt: the turn of the endpoint, and the first failure of the delivery's schedule.
pub(super) fn note(tx: &Tx<'_>, target: &Target, delivery: DeliveryKey, tries: u32, outcome: &Outcome) -> Result<()> {
    let endpoint = target.key;
    if outcome.is_success() {
        if target.turns % 2 == 1 {
            let sql = "UPDATE endpoint SET turns = turns + 1 WHERE key = ? AND turns = ?";
            if tx.conn.prepare_cached(sql)?.execute((endpoint, target.turns))? == 1 {
                alerts::recovered(tx, endpoint)?;
            }
        }
        return Ok(());
    }
    let turned = tx
        .conn
        .prepare_cached("UPDATE endpoint SET turns = turns + 1 WHERE key = ? AND turns % 2 = 0")?
        .execute([endpoint])?;
    if turned == 1 {
        // The success of a later claim turns it back.
        tx.targets.borrow_mut().renew(endpoint);
    }
    if tries == 1 {
        let sql = "UPDATE delivery SET first_failed = (SELECT turns FROM endpoint WHERE key = ?1) WHERE key = ?2";
        tx.conn.prepare_cached(sql)?.execute((endpoint, delivery))?;
    }
    Ok(())
}
