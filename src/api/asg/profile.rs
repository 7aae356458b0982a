//! ASG Gateway's profile: names, retry policy, signature header, sample data.

use super::envelope;
use crate::{
    api::openapi::Words,
    app::Dialect,
    config,
    domain::{
        excerpt::excerpt,
        json,
        profile::{ByHand, Profile, RetryPolicy, WhenExhausted, curl},
        timestamp::Timestamp,
    },
    error::{Error, Invalid, Result},
};

/// The name of this profile.
pub const NAME: &str = "asg";
/// The one event of its catalogue.
pub(super) const TASK_SETTLED: &str = "task.settled";
pub(super) const WEBHOOK: &str = "whk_";

pub(super) const SIGNATURE: &str = "X-ASG-Signature";

/// The names of events.
#[derive(Debug)]
pub(super) enum EventNames {}

impl Words for EventNames {
    const SCHEMA: &'static str = "AsgEventName";
    const MEANING: &'static str = "The name of an event.";

    fn all() -> Vec<&'static str> {
        vec![TASK_SETTLED]
    }
}

/// The part of the dialect that the engine needs.
pub fn profile(settings: &config::Asg, delivery: &config::Delivery) -> Profile {
    Profile {
        name: NAME,
        endpoint_prefix: WEBHOOK,
        signature_header: SIGNATURE,
        timeout: delivery.timeout,
        retry: RetryPolicy {
            max_attempts: settings.max_attempts,
            waits: settings.waits.iter().map(|wait| wait.0).collect(),
        },
        when_exhausted: WhenExhausted::StayActive,
        // All tries take a few seconds, so a warning after half of them is useless. The warning after the last one is
        // the only alert about a task that is given up.
        warn_after: Some(settings.max_attempts),
        by_hand,
        envelope: envelope::finish,
    }
}

/// Refuses an event that the catalogue does not have.
pub(super) fn check_kind(name: &str) -> Result<()> {
    if name == TASK_SETTLED {
        return Ok(());
    }
    let message = format!("event '{}' is unknown: expected {TASK_SETTLED}", excerpt(name));
    Err(Error::invalid(Invalid::UnknownEvent, message))
}

/// The part of the dialect that the other floors need.
pub(crate) fn dialect(settings: &config::Asg, delivery: &config::Delivery) -> Dialect {
    Dialect {
        profile: profile(settings, delivery),
        title: "ASG Gateway",
        kinds: vec![TASK_SETTLED],
        sample: Box::new(|kind, _, now| {
            check_kind(kind)?;
            let time = json::quote(&now.to_string());
            Ok(format!(
                r#"{{"event":{},"task_id":"tsk_sample","consensus_label":"cat","confidence":1.0,"bsv_txid":"9f1c5a7be0d34c2f","settled_at":{time},"timestamp":{time}}}"#,
                json::quote(kind)
            ))
        }),
        publish,
        // The API takes these fields only, each of its type.
        misfits: Box::new(|_, _| Ok(Vec::new())),
    }
}

/// A task is published once: by another id it is another one.
fn publish(base: &str, kind: &str, _: &str, now: Timestamp) -> Result<String> {
    check_kind(kind)?;
    let event = format!(
        r#"{{"event":{},"task_id":"tsk_first","consensus_label":"cat","confidence":1.0,"bsv_txid":"9f1c5a7be0d34c2f","settled_at":"{now}"}}"#,
        json::quote(kind)
    );
    Ok(curl("POST", &format!("{base}/v1/events"), Some(&event)))
}

/// The commands for a person, with this webhook.
fn by_hand(base: &str, webhook: &str) -> ByHand {
    let url = format!("{base}/v1/webhooks/{webhook}");
    ByHand {
        look: curl("GET", &url, None),
        test: Some(curl("POST", &format!("{url}/test"), None)),
        resume: Some(curl("PATCH", &url, Some(r#"{"active":true}"#))),
    }
}
