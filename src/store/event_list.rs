//! Lists of events, newest first: by filter, by id, by key, and by the words of their payloads.

use std::{collections::BTreeSet, ops::RangeInclusive};

use rusqlite::{Connection, OptionalExtension, named_params};

use super::{
    Result, View, accounts,
    events::{COLUMNS, read},
    moments,
    scan::{self, Scan},
};
use crate::{
    domain::{
        account::AccountKey,
        delivery::DeliveryKey,
        endpoint::EndpointKey,
        event::{Event, EventKey},
        ids::{EndpointId, EventId},
        search::{Asked, Place, Sought},
        timestamp::Timestamp,
        token::Visible,
    },
    error::Error,
};

/// Events read for one page.
const LOOKED_AT: usize = 10_000;
/// Rows that a scan passes over between two looks at the clock.
const WINDOW: EventKey = 10_000;

/// The condition for an event of a list.
const FITS: &str = "account.profile != '' AND (:profile IS NULL OR account.profile = :profile)
    AND (:account IS NULL OR event.account = :account) AND (:kind IS NULL OR kind = :kind)
    AND (:from IS NULL OR accepted_at >= :from) AND (:to IS NULL OR accepted_at <= :to)";

/// Which events to list: those that match everything that is set.
#[derive(Debug, Default, Clone)]
pub struct Filter {
    /// Of the account of this id.
    pub account: Option<String>,
    /// Of this name.
    pub kind: Option<String>,
    /// Accepted at this moment or later.
    pub from: Option<Timestamp>,
    /// Accepted at this moment or earlier.
    pub to: Option<Timestamp>,
}

/// One page of events, newest first.
#[derive(Debug)]
pub struct Page {
    /// The events.
    pub events: Vec<Event>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Place<EventId>>,
    /// Whether older events of the account may be missing: those that none of its endpoints got.
    pub partial: bool,
}

/// Events, and the one after which the next page begins; `None` at the end.
type Found = (Vec<Event>, Option<EventId>);

/// One page of events. Without a text to look for it reads at most 10,000 of them: a page may hold few or none and yet
/// not be the last. For one account it also finds every event that its endpoints got, however much others have published
/// since.
///
/// With a text, first come the events that have it as their id or key, found by index; then those whose payload holds
/// its words, as long as the page may look for them.
///
/// # Errors
/// [`Error::Invalid`] for a place that no such list gave; [`Error::NotFound`] for an account that is not within the
/// scope.
pub fn list(view: &View<'_>, visible: &Visible, filter: &Filter, asked: &Asked<EventId>) -> Result<Page> {
    let (conn, limit) = (view.conn, asked.limit);
    let account = match &filter.account {
        Some(id) => Some(accounts::see(view, visible, id)?.key),
        None => visible.account,
    };
    let keys = moments::keys(conn, "event", (filter.from, filter.to))?;
    let field = Field { conn, visible, account, filter, keys };
    let after = |(events, next): Found| Page { events, next: next.map(Place::After), partial: false };
    let words = match &asked.sought {
        None => return field.newest(asked.after()?, limit),
        Some(Sought::Event(id)) => {
            return Ok(after(field.these(key_of(conn, *id)?.as_slice(), None, limit)?));
        }
        Some(Sought::Delivery(id)) => {
            let mut rows = conn.prepare_cached("SELECT event FROM delivery WHERE id = ?")?;
            let event: Option<EventKey> = rows.query_row([id.to_bytes()], |row| row.get(0)).optional()?;
            return Ok(after(field.these(event.as_slice(), None, limit)?));
        }
        Some(Sought::Webhook(profile, id)) => {
            let Some(endpoint) = field.endpoint(profile, *id)? else { return Ok(after((Vec::new(), None))) };
            return Ok(after(field.delivered(vec![endpoint], field.before(asked.after()?)?, limit)?));
        }
        Some(Sought::Words(words)) => words,
    };
    let known = scan::keyed(conn, words.key(), account)?;
    let (keyed_after, scanned_after) = match asked.place {
        Place::Start => (Some(None), None),
        Place::Keyed(id) => (Some(Some(id)), None),
        Place::Payloads => (None, None),
        Place::After(id) => (None, Some(id)),
    };
    if let Some(after) = keyed_after {
        let (events, next) = field.these(&known, after, limit)?;
        if !events.is_empty() {
            return Ok(Page { events, next: Some(next.map_or(Place::Payloads, Place::Keyed)), partial: false });
        }
    }
    let scan = Scan::new(view, scan::OF_EVENT, words, known, asked.until)?;
    Ok(after(field.scan(scan, field.before(scanned_after)?, limit)?))
}

/// At most `most` events whose idempotency key, or whose batch's, is this text; the newest first.
pub fn keyed(view: &View<'_>, visible: &Visible, key: &str, most: usize) -> Result<Vec<Event>> {
    let (filter, keys) = (Filter::default(), EventKey::MIN..=EventKey::MAX - 1);
    let field = Field { conn: view.conn, visible, account: visible.account, filter: &filter, keys };
    Ok(field.these(&scan::keyed(view.conn, key, visible.account)?, None, most)?.0)
}

fn key_of(conn: &Connection, id: EventId) -> Result<Option<EventKey>> {
    let mut rows = conn.prepare_cached("SELECT key FROM event WHERE id = ?")?;
    Ok(rows.query_row([id.to_bytes()], |row| row.get(0)).optional()?)
}

/// The events among which a list looks.
struct Field<'a> {
    conn: &'a Connection,
    visible: &'a Visible,
    account: Option<AccountKey>,
    filter: &'a Filter,
    /// The keys of the events of its time, and of a few others.
    keys: RangeInclusive<EventKey>,
}

impl Field<'_> {
    /// The key before which a page begins.
    fn before(&self, after: Option<EventId>) -> Result<EventKey> {
        let after = after.map(|id| key_of(self.conn, id)?.ok_or_else(Error::bad_cursor)).transpose()?;
        Ok(after.unwrap_or(EventKey::MAX).min(self.keys.end() + 1))
    }

    /// The matching events with keys of this range, newest first.
    fn within(&self, from: EventKey, before: EventKey, most: usize) -> Result<Vec<Event>> {
        let mut rows = self.conn.prepare_cached(&format!(
            "{COLUMNS} FROM event JOIN account ON account.key = event.account
             WHERE event.key >= :oldest AND event.key < :before AND {FITS} ORDER BY event.key DESC LIMIT :most"
        ))?;
        let Filter { kind, from: since, to, .. } = self.filter;
        let events = rows.query_map(
            named_params! {
                ":oldest": from, ":before": before, ":most": most, ":profile": self.visible.profile,
                ":account": self.account, ":kind": kind,
                ":from": since.map(Timestamp::millis), ":to": to.map(Timestamp::millis),
            },
            read,
        )?;
        Ok(events.collect::<rusqlite::Result<_>>()?)
    }

    /// The event with this key, if it matches.
    fn one(&self, key: EventKey) -> Result<Option<Event>> {
        Ok(self.within(key, key.saturating_add(1), 1)?.pop())
    }

    /// Those of these events that match, after this one. The keys are sorted, the greatest first.
    fn these(&self, keys: &[EventKey], after: Option<EventId>, limit: usize) -> Result<Found> {
        let before = self.before(after)?;
        let mut found: Vec<Event> = Vec::new();
        for key in keys.iter().filter(|key| **key < before) {
            let Some(event) = self.one(*key)? else { continue };
            if found.len() == limit {
                let next = found.last().map(|event| event.id);
                return Ok((found, next));
            }
            found.push(event);
        }
        Ok((found, None))
    }

    /// The newest events, without a look at payloads.
    fn newest(&self, after: Option<EventId>, limit: usize) -> Result<Page> {
        let (before, first) = (self.before(after)?, *self.keys.start());
        let mut edge = self.conn.prepare_cached(
            "SELECT key, id FROM event WHERE key < ?1 AND key >= ?2 ORDER BY key DESC LIMIT 1 OFFSET ?3",
        )?;
        let edge: Option<(EventKey, [u8; 16])> =
            edge.query_row((before, first, LOOKED_AT - 1), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let oldest = edge.map_or(first, |(key, _)| key);
        let mut events = self.within(oldest, before, limit + 1)?;
        let (mut next, mut partial) = (edge.map(|(_, id)| EventId::from_bytes(id)), false);
        if let Some(account) = self.account.filter(|_| edge.is_some() && events.len() <= limit) {
            let mut rows = self.conn.prepare_cached("SELECT key FROM endpoint WHERE account = ?")?;
            let endpoints = rows.query_map([account], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            let (older, rest) = self.delivered(endpoints, oldest, limit + 1 - events.len())?;
            events.extend(older);
            (next, partial) = (rest, true);
        }
        if events.len() > limit {
            events.truncate(limit);
            next = events.last().map(|event| event.id);
        }
        Ok(Page { events, next: next.map(Place::After), partial })
    }

    /// The endpoint with this id, if its events may be listed.
    fn endpoint(&self, profile: &str, id: EndpointId) -> Result<Option<EndpointKey>> {
        let mut rows = self.conn.prepare_cached(
            "SELECT key FROM endpoint WHERE id = ?1 AND profile = ?2 AND (?3 IS NULL OR profile = ?3)
               AND (?4 IS NULL OR account = ?4)",
        )?;
        let own = (id.to_bytes(), profile, &self.visible.profile, self.account);
        Ok(rows.query_row(own, |row| row.get(0)).optional()?)
    }

    /// At most `most` events before `before` that one of these endpoints got, newest first; and where to continue.
    /// Deliveries are made in the order of their events, so the deliveries of each endpoint are read by their own
    /// index.
    fn delivered(&self, endpoints: Vec<EndpointKey>, before: EventKey, most: usize) -> Result<Found> {
        let mut first = self.conn.prepare_cached(
            "SELECT key FROM delivery INDEXED BY delivery_of_event
             WHERE event >= ? AND replay_of IS NULL ORDER BY event, key LIMIT 1",
        )?;
        let upto: DeliveryKey = first.query_row([before], |row| row.get(0)).optional()?.unwrap_or(DeliveryKey::MAX);
        let looked_at = (LOOKED_AT / endpoints.len().max(1)).max(most);
        let mut of_endpoint = self.conn.prepare_cached(
            "SELECT event FROM delivery INDEXED BY delivery_of_endpoint
             WHERE endpoint = ? AND key < ? AND replay_of IS NULL ORDER BY key DESC LIMIT ?",
        )?;
        // All endpoints were read down to this event.
        let (mut keys, mut floor) = (BTreeSet::new(), EventKey::MIN);
        for endpoint in endpoints {
            let own = of_endpoint.query_map((endpoint, upto, looked_at), |row| row.get(0))?;
            let own: Vec<EventKey> = own.collect::<rusqlite::Result<_>>()?;
            if own.len() == looked_at {
                floor = floor.max(own.last().copied().unwrap_or(floor));
            }
            keys.extend(own);
        }
        let first = *self.keys.start();
        let mut found: Vec<Event> = Vec::new();
        for key in keys.into_iter().rev().take_while(|key| *key >= floor.max(first)) {
            found.extend(self.one(key)?);
            if found.len() == most {
                let last = found.last().map(|event| event.id);
                return Ok((found, last));
            }
        }
        let mut rows = self.conn.prepare_cached("SELECT id FROM event WHERE key = ?1 AND key >= ?2")?;
        let rest = rows.query_row([floor, first], |row| row.get(0).map(EventId::from_bytes)).optional()?;
        Ok((found, rest))
    }

    /// The events before `before` whose payloads the scan finds.
    fn scan(&self, mut scan: Scan<'_>, before: EventKey, limit: usize) -> Result<Found> {
        let mut ends = self.conn.prepare_cached("SELECT ifnull(min(key), 0) FROM event")?;
        let oldest = ends.query_row([], |row| row.get::<_, EventKey>(0))?.max(*self.keys.start());
        let mut ends = self.conn.prepare_cached("SELECT ifnull(max(key), 0) + 1 FROM event")?;
        let mut end = ends.query_row([], |row| row.get::<_, EventKey>(0))?.min(before);
        let mut window = self.conn.prepare_cached(
            "SELECT key FROM event WHERE key >= ?1 AND key < ?2 AND (?3 IS NULL OR account = ?3)
               AND (?4 IS NULL OR kind = ?4) ORDER BY key DESC",
        )?;
        let mut found = Vec::new();
        while end > oldest {
            let from = end.saturating_sub(WINDOW).max(oldest);
            let keys = window.query_map((from, end, self.account, &self.filter.kind), |row| row.get(0))?;
            for key in keys.collect::<rusqlite::Result<Vec<EventKey>>>()? {
                if scan.holds(key)? {
                    found.extend(self.one(key)?);
                }
                if found.len() == limit || scan.is_over() {
                    return Ok((found, self.first_from(key)?));
                }
            }
            end = from;
            scan.pass();
            if scan.is_over() && end > oldest {
                return Ok((found, self.first_from(end)?));
            }
        }
        Ok((found, None))
    }

    /// The oldest event with this key or a greater one: the place down to which a scan has come.
    fn first_from(&self, key: EventKey) -> Result<Option<EventId>> {
        let mut rows = self.conn.prepare_cached("SELECT id FROM event WHERE key >= ? ORDER BY key LIMIT 1")?;
        Ok(rows.query_row([key], |row| row.get(0).map(EventId::from_bytes)).optional()?)
    }
}
