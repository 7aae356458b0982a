//! Missed deliveries: those that failed, and whose event no replay has delivered to the endpoint since.
//!
//! If a replay fails too, it is missed in place of the delivery that it repeats. So of one event an endpoint misses at
//! most one delivery, and counting them needs no look at replays. The mark is set as a claim ends, and so holds through
//! restarts, and when the row of a replay is removed.

use super::{Result, Tx};
use crate::domain::{
    delivery::{DeliveryKey, Settlement, State},
    recovery::RecoveryKey,
};

/// The part of a delivery in replays, as its claim ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kin {
    /// Whether it is a replay, or has one.
    pub(super) is_one_of_several: bool,
    /// The recovery that made it.
    pub(super) recovery: Option<RecoveryKey>,
}

/// Notes the end of a delivery: whether its receiver has missed it, and the count of its recovery.
pub(super) fn settled(tx: &Tx<'_>, key: DeliveryKey, test: bool, kin: Kin, settlement: Settlement) -> Result<()> {
    let counter = match settlement.state() {
        State::Delivered => "delivered",
        State::Exhausted => "failed",
        State::Pending | State::Claimed | State::Held | State::Cancelled => return Ok(()),
    };
    if let Some(recovery) = kin.recovery {
        let sql = format!("UPDATE recovery SET {counter} = {counter} + 1 WHERE key = ?");
        tx.conn.prepare_cached(&sql)?.execute([recovery])?;
    }
    let is_missed = settlement.state() == State::Exhausted && !test && mark(tx, key)?;
    if kin.is_one_of_several && (is_missed || settlement == Settlement::Delivered) {
        tx.conn
            .prepare_cached(
                "UPDATE delivery INDEXED BY delivery_of_event SET missed = 0
                 WHERE event = (SELECT event FROM delivery WHERE key = ?1)
                   AND endpoint = (SELECT endpoint FROM delivery WHERE key = ?1) AND key != ?1 AND missed = 1",
            )?
            .execute([key])?;
    }
    Ok(())
}

/// Marks a failed delivery as missed, unless its event was delivered to the endpoint by a later replay. Returns whether
/// it is missed.
fn mark(tx: &Tx<'_>, key: DeliveryKey) -> Result<bool> {
    let marked = tx
        .conn
        .prepare_cached(
            "UPDATE delivery SET missed = 1 WHERE key = ?1 AND NOT EXISTS (
               SELECT 1 FROM delivery AS later INDEXED BY delivery_of_event
               WHERE later.event = delivery.event AND later.key > ?1 AND later.endpoint = delivery.endpoint
                 AND later.state = 'delivered')",
        )?
        .execute([key])?;
    Ok(marked == 1)
}
