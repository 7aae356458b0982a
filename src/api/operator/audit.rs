//! `/operator/audit`.

use poem::web::Data;
use poem_openapi::{OpenApi, param::Query};

use super::{
    Errors, Tag, bad_cursor, page_size, walls,
    wire::{AuditEntry, AuditPage},
};
use crate::{
    api::{
        deps::Deps,
        openapi::{Authenticated, Body, Refused, WithoutBody},
    },
    domain::{audit::Action, excerpt::excerpt},
    error::{Error, Result},
    store::audit::{self, Filter},
};

/// The routes.
pub(crate) struct Routes;

#[OpenApi(tag = "Tag::Operator", prefix_path = "/operator")]
impl Routes {
    /// Who changed what
    ///
    /// Newest first, page by page. Of what was done to the webhooks and deliveries of an account some 5,000 entries are kept, of
    /// all else every one. A page looks at 10,000 of them at most: with a filter it may hold few or none and yet have a
    /// `next_cursor`. Needs the scope `operator`.
    #[oai(path = "/audit", method = "get", operation_id = "listAudit")]
    async fn list(
        &self,
        auth: Authenticated,
        deps: Data<&Deps>,
        /// Only in this account.
        account_id: Query<Option<String>>,
        /// Only this, such as `webhook.suspended`.
        action: Query<Option<String>>,
        /// Entries on a page: at least 1, at most the server's `limits.page_size`. Default: 20.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Body<AuditPage>, Refused<Errors, WithoutBody>> {
        let ((grant, walls), limit) = (walls(&auth)?, page_size(limit.0, &deps.limits)?);
        let filter = Filter {
            account: account_id.0,
            action: action.0.as_deref().map(known).transpose()?,
            before: cursor.0.map(|cursor| cursor.parse().map_err(|_| bad_cursor())).transpose()?,
        };
        let (entries, next) = deps.db.read_as(grant, move |view| audit::list(view, &walls, &filter, limit)).await?;
        Ok(Body(AuditPage {
            next_cursor: next.map(|next| next.to_string()),
            entries: entries.into_iter().map(|entry| AuditEntry::new(entry, &deps.profiles)).collect(),
        }))
    }
}

fn known(name: &str) -> Result<Action> {
    Action::ALL.iter().copied().find(|action| action.name() == name).ok_or_else(|| {
        let all: Vec<&str> = Action::ALL.iter().map(|action| action.name()).collect();
        Error::request(format!("action '{}' is unknown: expected one of {}", excerpt(name), all.join(", ")))
    })
}
