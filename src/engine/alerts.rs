//! Tells people what they have to know. Until a mail server is set up, that is the log, at warn, with the addressee.

use crate::{
    domain::profile::{Profiles, WhenExhausted},
    error::Result,
    store::{Db, alerts},
};

/// The name under which alerts are logged: at warn, whatever the level of the rest.
pub const ALERT: &str = "ngoma::alert";

/// Tells every alert that nobody was told yet, oldest first. One that fails to be noted as told is told again.
pub(super) async fn tell(db: &Db, profiles: &Profiles) -> Result<()> {
    for alert in db.read(alerts::untold).await? {
        let profile = profiles.get(&alert.profile);
        let webhook = alert.endpoint.on_wire(profile.map_or("", |profile| profile.endpoint_prefix));
        let resume_by = match profile.map(|profile| profile.when_exhausted) {
            Some(WhenExhausted::Suspend(resume_by)) => resume_by(&webhook),
            _ => String::new(),
        };
        tracing::warn!(
            target: ALERT,
            to = alert.addressee.as_deref().unwrap_or("(no alert e-mail)"),
            account = alert.account_id,
            webhook,
            url = without_query(&alert.url),
            suspended_at = %alert.created_at,
            failing_since = %alert.failing_since,
            last_error = alert.failure,
            last_status = alert.status,
            held = alert.held,
            resume_by,
            "webhook suspended: its deliveries are held until it is resumed",
        );
        db.write(move |tx| alerts::told(tx, alert.key)).await?;
    }
    Ok(())
}

/// A query may hold a secret: it stays out of the log.
fn without_query(url: &str) -> &str {
    url.split_once('?').map_or(url, |(before, _)| before)
}
