//! The rows of the file beside the model.

use std::fmt::Debug;

use ngoma::{
    domain::{delivery::State, ids::DeliveryId, token::Visible},
    store::{deliveries, endpoints},
};
use rusqlite::Row;

use crate::model::{
    machine::{Machine, VENDORS, index, key},
    states::{Delivery, DeliveryState, Endpoint, EndpointState},
};

impl Machine {
    /// Compares every row with the model. `after` names the step, should they differ.
    pub fn agree(&mut self, after: &dyn Debug) {
        assert_eq!(self.deliveries(), self.model.deliveries, "after {after:?}");
        assert_eq!(self.endpoints(), self.model.endpoints, "after {after:?}");
        for endpoint in 0..self.endpoint_ids.len() {
            let active = self.model.endpoints[endpoint].state == EndpointState::Active;
            assert!(active || self.model.head(endpoint).is_none(), "only an active one has pending");
        }
        let ended: Vec<u32> = self.rows("SELECT (SELECT count(*) FROM attempt WHERE delivery = key AND number <= attempts) FROM delivery ORDER BY key", |row| row.get(0));
        let expected: Vec<u32> = self.model.deliveries.iter().map(ended_attempts).collect();
        assert_eq!(ended, expected, "recorded attempts after {after:?}");
        self.agree_on_turns(after);
    }

    /// The store's own view at the end of a history: every delivery is there, with every attempt.
    pub fn shows_the_same(&mut self) {
        let db = self.running().db.clone();
        let (endpoints, profiles) = (self.endpoint_ids.clone(), self.model.endpoints.clone());
        let shown = self.runtime.block_on(db.read(move |view| {
            let mut shown = Vec::new();
            for (id, endpoint) in endpoints.iter().zip(profiles) {
                let visible = Visible { profile: Some(VENDORS[endpoint.vendor].into()), account: None };
                let endpoint = endpoints::find(view, &visible, *id)?;
                for delivery in deliveries::latest(view, endpoint.key, 10_000)? {
                    let numbers =
                        deliveries::attempts(view, delivery.key)?.iter().map(|attempt| attempt.number).collect();
                    shown.push((index(delivery.key), delivery.id, delivery.state, numbers));
                }
            }
            Ok(shown)
        }));
        let mut shown: Vec<(usize, DeliveryId, State, Vec<u32>)> = shown.expect("it reads");
        shown.sort_by_key(|(index, ..)| *index);
        assert_eq!(shown.len(), self.model.deliveries.len(), "nothing vanishes, nothing appears");
        for ((index, id, shown, numbers), delivery) in shown.into_iter().zip(&self.model.deliveries) {
            assert_eq!((id, shown), (self.ids[index], state(delivery)));
            assert_eq!(numbers, (1..=ended_attempts(delivery)).collect::<Vec<_>>(), "attempts are numbered in a row");
        }
    }

    fn deliveries(&self) -> Vec<Delivery> {
        let sql = "SELECT * FROM delivery ORDER BY key";
        self.rows(sql, |row| {
            let state = match row.get::<_, String>("state")?.as_str() {
                "pending" => DeliveryState::Pending { due: row.get("due_at")? },
                "claimed" => DeliveryState::Claimed { since: row.get("started_at")? },
                "delivered" => DeliveryState::Delivered,
                "exhausted" => DeliveryState::Exhausted,
                "held" => DeliveryState::Held,
                _ => DeliveryState::Cancelled,
            };
            let endpoint = index(row.get("endpoint")?);
            Ok(Delivery {
                endpoint,
                event: index(row.get("event")?),
                made: row.get("created_at")?,
                state,
                attempts: row.get("attempts")?,
                tries: row.get("tries")?,
                outage: row.get::<_, Option<i64>>("outage")?.map(index),
                replay: row.get::<_, Option<i64>>("replay_of")?.is_some(),
                replayed: row.get("replayed")?,
                missed: row.get("missed")?,
                first_failed: row.get("first_failed")?,
            })
        })
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        self.rows("SELECT * FROM endpoint ORDER BY key", |row| {
            let state = match row.get::<_, String>("state")?.as_str() {
                "active" => EndpointState::Active,
                "suspended" => EndpointState::Suspended,
                _ => EndpointState::Deleted,
            };
            let profile: String = row.get("profile")?;
            let url: String = row.get("url")?;
            let address = url.rsplit('/').next().and_then(|number| number.parse().ok());
            Ok(Endpoint {
                vendor: VENDORS.iter().position(|vendor| *vendor == profile).expect("a vendor"),
                state,
                address: address.expect("a number"),
                timed_out: row.get("timed_out")?,
                outage: row.get::<_, Option<i64>>("outage")?.map(index),
                resumed: row.get("resumed_at")?,
                rests: row.get("rests_until")?,
                turns: row.get("turns")?,
            })
        })
    }

    /// Whether a delivery is claimed in the file.
    pub fn is_claimed(&self, delivery: usize) -> bool {
        let mut row =
            self.raw.prepare_cached("SELECT state = 'claimed' FROM delivery WHERE key = ?").expect("valid SQL");
        row.query_row([key(delivery)], |row| row.get(0)).expect("a row")
    }

    pub fn rows<T>(&self, sql: &str, read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
        let mut rows = self.raw.prepare_cached(sql).expect("valid SQL");
        let rows = rows.query_map([], read).expect("rows");
        rows.collect::<rusqlite::Result<_>>().expect("readable rows")
    }
}

pub fn state(delivery: &Delivery) -> State {
    match delivery.state {
        DeliveryState::Pending { .. } => State::Pending,
        DeliveryState::Claimed { .. } => State::Claimed,
        DeliveryState::Delivered => State::Delivered,
        DeliveryState::Exhausted => State::Exhausted,
        DeliveryState::Held => State::Held,
        DeliveryState::Cancelled => State::Cancelled,
    }
}

/// The one under way is recorded when it has ended.
fn ended_attempts(delivery: &Delivery) -> u32 {
    delivery.attempts - u32::from(matches!(delivery.state, DeliveryState::Claimed { .. }))
}
