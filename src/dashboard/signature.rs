//! The check of a signature that a receiver got or made, step by step. It shows no secret.

use askama::Template;
use poem::{Response, Result};

use super::{fields::Fields, format::thousands, frame::Frame, render, state::Shared, visit::Allowed};
use crate::{
    app::{
        Webhooks,
        signatures::{CheckedSignature, Signed},
    },
    domain::signature_check::{Claim, Difference, Finding, Recomputed, Scheme},
};

#[derive(Template)]
#[template(path = "signature.html", config = "src/dashboard/askama.toml")]
struct Page<'a> {
    frame: Frame<'a>,
    delivery: String,
    kind: String,
    header: &'static str,
    standard: bool,
    signature: String,
    recomputed: Recomputed,
    length: String,
    right: bool,
    wrong: Option<(&'static str, String, Vec<&'static str>)>,
    difference: Option<Difference>,
    sent_length: String,
    /// Whether a body was given and is the one that was sent.
    same_body: bool,
    changed: Option<String>,
}

/// Checks the signature of a form.
pub(super) async fn check(shared: &Shared, visit: &Allowed<Webhooks>, id: &str, fields: &Fields) -> Result<Response> {
    let signature = fields.need("signature", "the signature")?.to_owned();
    let body = fields.text("body").filter(|body| !body.is_empty()).map(str::to_owned);
    let has_body = body.is_some();
    let claim = Claim { signature: signature.clone(), body };
    let CheckedSignature { listed, check, signed, body, header } =
        shared.app.check_signature(&visit.access, id, claim).await?;
    let frame = Frame::new(shared, visit, "/ui/deliveries");
    let standard = check.recomputed.scheme == Scheme::Standard;
    render::page(&Page {
        delivery: listed.delivery.id.to_string(),
        kind: listed.delivery.kind.clone(),
        header: if standard { "webhook-signature" } else { header },
        standard,
        signature,
        length: thousands(check.recomputed.length as u64),
        recomputed: check.recomputed,
        right: check.finding == Finding::Right,
        wrong: match check.finding {
            Finding::Wrong { text, key, remedies } => Some((text, key, remedies)),
            Finding::Right | Finding::Unknown => None,
        },
        same_body: has_body && check.difference.is_none(),
        difference: check.difference,
        sent_length: thousands(body.len() as u64),
        changed: match signed {
            Signed::ByFormer(at) | Signed::Changed(at) => Some(at.to_string()),
            Signed::AsSent | Signed::Gone | Signed::NotSent => None,
        },
        frame,
    })
}
