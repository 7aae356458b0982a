//! A delivery with the signatures of its request, and checks of a signature that a receiver got or made.

use super::{Access, App, Webhooks, deliveries::Preview, id};
use crate::{
    domain::{
        delivery::{Attempt, Delivery},
        event::Damaged,
        ids::DeliveryId,
        signature::{SigningSecret, Switch},
        signature_check::{self, Check, Claim, Sent},
        timestamp::Timestamp,
        token::Visible,
    },
    error::{Error, Missing, Result},
    store::{
        View, deliveries, own_headers,
        search::{self, Listed},
        secrets::{self, Former, Secrets},
    },
};

/// Replays shown with a delivery.
const REPLAYS: usize = 50;

/// A delivery, its attempts, its replays, and its request with signatures.
pub struct DeliveryInFull {
    /// The delivery, with its account.
    pub listed: Listed,
    /// Every attempt that has ended, in order.
    pub attempts: Vec<Attempt>,
    /// Its newest replays, newest first.
    pub replays: Vec<Delivery>,
    /// The request; a damaged body is never sent.
    pub request: Result<Preview, Damaged>,
    /// Which signatures the request has.
    pub signed: Signed,
}

/// The signatures of a shown request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// Those of the last attempt.
    AsSent,
    /// Those of the last attempt, by the former secret: a new one replaced it at this moment.
    ByFormer(Timestamp),
    /// None: the secret that signed was replaced at this moment and is gone.
    Changed(Timestamp),
    /// None: the secret is gone with its webhook, or the key file does not open it.
    Gone,
    /// None: there was no attempt.
    NotSent,
}

/// A check, with the delivery whose signature was checked.
pub struct CheckedSignature {
    /// The delivery.
    pub listed: Listed,
    /// The result.
    pub check: Check,
    /// Which secret signed the last attempt.
    pub signed: Signed,
    /// The body that was sent.
    pub body: String,
    /// The vendor's header.
    pub header: &'static str,
}

/// A secret by its name for people.
type Named = (&'static str, SigningSecret);

/// Which signatures the last attempt had, and the secrets that may have signed it: the right one first.
fn signers(secrets: Secrets, last: Option<&Attempt>) -> (Signed, Vec<Named>) {
    let Secrets { present, former, changed_at } = secrets;
    let present = present.map(|secret| ("the present secret", secret));
    let leads = |former: &Former| {
        former.switch == Switch::AfterOverlap && last.is_some_and(|last| last.started_at < former.until)
    };
    let signed_then =
        |former: &Former| last.is_some_and(|last| former.since.is_none_or(|since| last.started_at >= since));
    let (leads, signed_then) = (former.as_ref().is_some_and(leads), former.as_ref().is_some_and(signed_then));
    let former = former.map(|former| ("the former secret", former.secret));
    match (last, changed_at) {
        (None, _) => (Signed::NotSent, Vec::new()),
        (Some(last), Some(at)) if last.started_at < at => {
            let signed = if signed_then { Signed::ByFormer(at) } else { Signed::Changed(at) };
            (signed, former.into_iter().chain(present).collect())
        }
        _ if present.is_none() => (Signed::Gone, Vec::new()),
        _ if leads => (Signed::AsSent, former.into_iter().chain(present).collect()),
        _ => (Signed::AsSent, present.into_iter().chain(former).collect()),
    }
}

/// How many of the secrets signed what the last attempt carried.
fn carried(signed: Signed, secrets: &[Named], former_until: Option<Timestamp>, last: Option<&Attempt>) -> usize {
    let overlaps = former_until.zip(last).is_some_and(|(until, last)| last.started_at < until);
    match signed {
        Signed::AsSent if overlaps => secrets.len(),
        Signed::AsSent | Signed::ByFormer(_) => 1,
        Signed::Changed(_) | Signed::Gone | Signed::NotSent => 0,
    }
}

impl App {
    /// One delivery, its attempts, its replays, and the request of its last attempt with its signatures.
    pub async fn delivery_in_full(&self, access: &Access<Webhooks>, delivery: &str) -> Result<DeliveryInFull> {
        let delivery = id(DeliveryId::parse(delivery), Missing::Delivery)?;
        let look = move |view: &View<'_>, visible: &Visible| {
            let listed = search::find(view, visible, delivery)?;
            let key = listed.delivery.key;
            let (attempts, replays) = (deliveries::attempts(view, key)?, deliveries::replays(view, key, REPLAYS)?);
            let body = deliveries::body_of(view, listed.delivery.event)?;
            let secrets = secrets::of(view, listed.endpoint)?;
            let own = own_headers::names_of(view, listed.delivery.endpoint)?;
            Ok((listed, attempts, replays, body, (secrets, own)))
        };
        let (listed, attempts, replays, body, (secrets, own)) = self.read(access, look).await?;
        let (last, former_until) = (attempts.last(), secrets.former.as_ref().map(|former| former.until));
        let (signed, secrets) = signers(secrets, last);
        let carried = carried(signed, &secrets, former_until, last);
        let signing: Vec<&SigningSecret> = secrets.iter().take(carried).map(|(_, secret)| secret).collect();
        let request = match body {
            Ok(body) => Ok(self.preview(&listed, last, &body, (&signing, &own))?.complete(&listed)?),
            Err(damaged) => Err(damaged),
        };
        Ok(DeliveryInFull { listed, attempts, replays, request, signed })
    }

    /// Checks a signature that a receiver got with this delivery, or made of it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text that is no signature, while nothing was sent, and when no secret is there any more;
    /// [`Error::Unreadable`] if the body is damaged.
    pub async fn check_signature(
        &self,
        access: &Access<Webhooks>,
        delivery: &str,
        claim: Claim,
    ) -> Result<CheckedSignature> {
        let delivery = id(DeliveryId::parse(delivery), Missing::Delivery)?;
        let look = move |view: &View<'_>, visible: &Visible| {
            let listed = search::find(view, visible, delivery)?;
            let attempts = deliveries::attempts(view, listed.delivery.key)?;
            let body = deliveries::body_of(view, listed.delivery.event)?;
            let secrets = secrets::of(view, listed.endpoint)?;
            Ok((listed, attempts, body, secrets))
        };
        let (listed, attempts, body, secrets) = self.read(access, look).await?;
        let (signed, secrets) = signers(secrets, attempts.last());
        if signed == Signed::NotSent {
            return Err(Error::request("nothing was sent yet: there is no signature to check"));
        }
        let body = self.preview(&listed, attempts.last(), &body?, (&[], &[]))?.body;
        let header = self.dialect(&listed.profile)?.profile.signature_header;
        let sent = Sent {
            event: listed.delivery.event.to_string(),
            attempts: attempts.iter().map(|attempt| (attempt.number, attempt.started_at)).collect(),
            body,
            secrets,
        };
        // Many signatures of a large body take a while.
        let check = tokio::task::spawn_blocking(move || -> Result<(Check, String)> {
            Ok((signature_check::check(&sent, &claim)?, sent.body))
        });
        let check = check.await.map_err(|_| Error::Internal("the check of a signature panicked".to_owned()))?;
        let (check, body) = check?;
        Ok(CheckedSignature { listed, check, signed, body, header })
    }
}
