//! A settled task that was checked against the vendor's page, with the body of its deliveries and the answer to its
//! publisher.

use super::{
    envelope::TaskSettled,
    profile::{TASK_SETTLED, WEBHOOK, check_kind},
    wire::{Accepted, DeliveryRef, EventInput},
};
use crate::{
    app::{
        Access, Events,
        publish::{Draft, Refusal},
    },
    config::Limits,
    domain::{
        endpoint::TargetUrl,
        event::{self, Audience, IdempotencyKey},
        excerpt::excerpt,
        json,
        timestamp::Timestamp,
    },
    error::{Conflict, Error, Invalid, Result},
};

pub(super) struct SettledTask {
    account: String,
    task: EventInput,
    audience: Audience,
    key: IdempotencyKey,
}

impl SettledTask {
    /// Checks a task against the vendor's page and the limits.
    pub(super) fn new(task: EventInput, access: &Access<Events>, limits: &Limits) -> Result<Self> {
        let account = access.acts_for(task.account.as_deref(), "account")?;
        let (audience, key) = check(&task, limits)?;
        Ok(Self { account, task, audience, key })
    }

    pub(super) fn answer(self, accepted: &event::Accepted) -> Accepted {
        let deliveries = accepted.deliveries.iter().map(|(delivery, endpoint)| DeliveryRef {
            delivery_id: delivery.to_string(),
            webhook_id: endpoint.on_wire(WEBHOOK),
        });
        Accepted {
            event_id: accepted.id.to_string(),
            event: TASK_SETTLED.into(),
            task_id: self.task.task_id,
            deliveries: deliveries.collect(),
        }
    }
}

impl Draft for SettledTask {
    fn account(&self) -> &str {
        &self.account
    }

    fn kind(&self) -> &str {
        TASK_SETTLED
    }

    fn body(&self, at: Timestamp) -> Result<String> {
        let body = TaskSettled {
            event: TASK_SETTLED.into(),
            task_id: self.task.task_id.as_str().into(),
            consensus_label: self.task.consensus_label.as_str().into(),
            confidence: self.task.confidence.clone(),
            bsv_txid: self.task.bsv_txid.as_str().into(),
            settled_at: self.task.settled_at.as_str().into(),
            timestamp: at.to_string().into(),
        };
        serde_json::to_string(&body).map_err(|flaw| Error::Internal(flaw.to_string()))
    }

    fn key(&self) -> Option<&IdempotencyKey> {
        Some(&self.key)
    }

    fn audience(&self) -> &Audience {
        &self.audience
    }

    fn refused(&self, why: Refusal) -> Error {
        match why {
            Refusal::KeyReused => {
                let message = format!("task '{}' was published before with another body", excerpt(&self.task.task_id));
                Error::conflict(Conflict::Different, message)
            }
            Refusal::NoSuchTarget => {
                let message = "callback_url is no webhook of this account: register it first";
                Error::invalid(Invalid::Target, message)
            }
        }
    }
}

/// Checks a publish. Returns its audience, and the key that identifies a repeat.
fn check(body: &EventInput, limits: &Limits) -> Result<(Audience, IdempotencyKey)> {
    check_kind(body.event.as_ref())?;
    Timestamp::read("settled_at", &body.settled_at)?;
    json::check_number(body.confidence.0.get())
        .map_err(|problem| Error::invalid(Invalid::Payload, format!("confidence {problem}")))?;
    for (field, text) in [("consensus_label", &body.consensus_label), ("bsv_txid", &body.bsv_txid)] {
        if text.len() > limits.string_bytes {
            let message = format!("{field} is a string too long: at most {} bytes are taken", limits.string_bytes);
            return Err(Error::invalid(Invalid::Payload, message));
        }
    }
    let audience = match &body.callback_url {
        None => Audience::Subscribers,
        Some(url) => {
            let url = TargetUrl::parse(url, limits.url_bytes);
            Audience::Target(url.map_err(|error| error.within("callback_url: "))?)
        }
    };
    let parts = [
        body.consensus_label.as_str(),
        body.confidence.0.get(),
        &body.bsv_txid,
        &body.settled_at,
        match &audience {
            Audience::Subscribers => "",
            Audience::Target(url) => url.as_str(),
        },
    ];
    let key = IdempotencyKey::new(&body.task_id, &parts)
        .map_err(|_| Error::request(format!("task_id must have 1 to {} bytes", event::MAX_IDEMPOTENCY_KEY)))?;
    Ok((audience, key))
}
