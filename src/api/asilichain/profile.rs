//! AsiliChain's profile: names, retry policy, signature header, sample data.

use super::{
    catalogue,
    envelope::{self, Stored},
    fit,
};
use crate::{
    app::Dialect,
    config,
    domain::{
        json,
        profile::{ByHand, Profile, RetryPolicy, WhenExhausted, curl},
        timestamp::Timestamp,
    },
    error::Result,
};

/// The name of this profile.
pub const NAME: &str = "asilichain";
pub(super) const WEBHOOK: &str = "wh_";

pub(super) const SIGNATURE: &str = "X-AsiliChain-Signature";

/// The part of the dialect that the engine needs.
pub fn profile(settings: &config::AsiliChain, delivery: &config::Delivery) -> Profile {
    let retry = RetryPolicy {
        max_attempts: u32::try_from(settings.waits.len()).unwrap_or(u32::MAX).saturating_add(1),
        waits: settings.waits.iter().map(|wait| wait.0).collect(),
    };
    Profile {
        name: NAME,
        endpoint_prefix: WEBHOOK,
        signature_header: SIGNATURE,
        timeout: delivery.timeout,
        // The remaining attempts take two hours: time enough to act before the suspension.
        warn_after: Some(retry.half()),
        retry,
        when_exhausted: match settings.suspend_when {
            config::SuspendWhen::Any => WhenExhausted::Suspend,
            config::SuspendWhen::Dead => WhenExhausted::SuspendIfDead,
        },
        by_hand,
        envelope: envelope::finish,
    }
}

/// The part of the dialect that the other floors need.
pub(crate) fn dialect(settings: &config::AsiliChain, delivery: &config::Delivery) -> Dialect {
    let (api_version, validate) = (settings.api_version.clone(), settings.validate);
    Dialect {
        profile: profile(settings, delivery),
        title: "AsiliChain",
        kinds: catalogue::names().collect(),
        sample: Box::new(move |kind, account, now| {
            let entry = catalogue::find(kind)?;
            Ok(envelope::stored(entry.name, &api_version, &now.to_string(), &entry.sample_for(account)))
        }),
        publish,
        misfits: Box::new(move |kind, body| Ok(fit::misfits_if(validate, kind, Stored::read(body)?.data.0.get()))),
    }
}

/// The same sample again is another event.
fn publish(base: &str, kind: &str, account: &str, _: Timestamp) -> Result<String> {
    let (kind, data) = (json::quote(kind), catalogue::find(kind)?.sample_for(account));
    let event = format!(r#"{{"event":{kind},"cooperative_id":{},"data":{data}}}"#, json::quote(account));
    Ok(curl("POST", &format!("{base}/events"), Some(&event)))
}

/// The commands for a person. The page: "Reactivate via PATCH /webhooks/{webhook_id}".
fn by_hand(base: &str, webhook: &str) -> ByHand {
    let url = format!("{base}/webhooks/{webhook}");
    ByHand {
        look: curl("GET", &url, None),
        test: Some(curl("POST", &format!("{url}/test"), None)),
        resume: Some(curl("PATCH", &url, Some(r#"{"status":"ACTIVE"}"#))),
    }
}
