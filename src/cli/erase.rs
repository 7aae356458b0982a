//! `ngoma account delete`: erases an account with its webhooks, tokens, events and deliveries.

use std::time::Duration;

use serde_json::json;

use super::{
    database::block_on,
    deliveries::named,
    output::{hint, print_json, show},
};
use crate::{
    clock,
    config::command,
    domain::audit::Actor,
    engine::retention,
    error::{Error, Result},
    store::{
        Admission, Db,
        erase::{self, Extent},
    },
};

/// Tries of a write while a busy server holds the database.
const TRIES: u32 = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(200);

pub(super) fn run(db: &Db, id: &str, yes: bool, as_json: bool) -> Result<()> {
    let name = id.to_owned();
    let (begun, extent) = block_on(db.read(move |view| {
        let begun = !erase::unfinished(view, Some(&name))?.is_empty();
        Ok((begun, erase::extent(view, &name)))
    }))?;
    let mut found = json!({ "id": id, "deleted": true });
    let rows = match extent {
        Ok(Extent { profile, webhooks, tokens, events, deliveries }) => {
            let counts = json!({ "webhooks": webhooks, "tokens": tokens, "events": events, "deliveries": deliveries });
            found = json!({ "id": id, "profile": profile, "had": counts, "deleted": yes });
            if !as_json {
                say!(
                    "{id} ({profile}): webhooks {webhooks}, tokens {tokens}, events {events}, deliveries {deliveries}"
                );
            }
            if !yes && as_json {
                print_json(&found);
            }
            if !yes {
                let delete = command(&format!("account delete {id} --yes"));
                return Err(Error::request(format!("nothing was deleted: '{delete}' does it")));
            }
            Some(events + deliveries)
        }
        Err(Error::NotFound(_)) if begun => {
            hint(&format!("{id}: the erasure goes on where it was cut off"));
            None
        }
        Err(error) => return Err(named(error)),
    };
    let emptied = block_on(async {
        if rows.is_some() {
            begin(db, id).await?;
        }
        finish(db, id, rows).await?;
        retention::empty_log(db, TRIES).await
    })?;
    show("");
    if as_json {
        print_json(&found);
        return Ok(());
    }
    confirm!("nothing of {id} is left in the database; older backups still hold it");
    if !emptied {
        confirm!("the database's log may hold some data for a while: another program reads it; it is emptied later");
    }
    Ok(())
}

async fn begin(db: &Db, id: &str) -> Result<()> {
    let mut tries = 0;
    loop {
        let id = id.to_owned();
        match db.write(Actor::CommandLine, Admission::Try, move |tx| erase::begin(tx, &id)).await {
            Err(Error::Unavailable(_)) if tries < TRIES => tries += 1,
            done => return done,
        }
        clock::pause(BETWEEN_TRIES).await;
    }
}

async fn finish(db: &Db, id: &str, rows: Option<u64>) -> Result<()> {
    let (mut tries, mut removed) = (0, 0);
    loop {
        let progress = |went: usize| {
            removed += went;
            tries = 0;
            let of = rows.map_or_else(String::new, |rows| format!(" of {rows}"));
            show(&format!("{removed}{of} rows removed"));
        };
        match retention::erase_all(db, Some(id), progress).await {
            Err(Error::Unavailable(_)) if tries < TRIES => tries += 1,
            done => return done.map(drop),
        }
        clock::pause(BETWEEN_TRIES).await;
    }
}
