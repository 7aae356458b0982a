//! `/operator/audit`.

use poem::web::Data;
use poem_openapi::{OpenApi, param::Query};

use super::{errors::Errors, examples::Tag, wire::AuditPage};
use crate::{
    api::openapi::{Body, Refused, refusals::Token},
    app::{Access, App, Operator, PageRequest},
    domain::{audit::Action, excerpt::excerpt},
    error::{Error, Result},
};

pub(crate) struct Routes;

#[OpenApi(tag = "Tag::Operator", prefix_path = "/operator")]
impl Routes {
    /// List the changes
    ///
    /// Lists who changed what and when, newest first, page by page. It changes nothing. Of changes to webhooks and
    /// deliveries about 5,000 entries are kept for each account; all other entries are kept. The server reads at most
    /// 10,000 entries for a page. So a page with a filter may have few entries or none, and still have a `next_cursor`.
    /// Needs the scope `operator`.
    #[oai(path = "/audit", method = "get", operation_id = "listAudit")]
    async fn list(
        &self,
        access: Access<Operator>,
        app: Data<&App>,
        /// Only changes in this account.
        account_id: Query<Option<String>>,
        /// Only this action, such as `webhook.suspended`.
        action: Query<Option<String>>,
        /// Entries on a page: at least 1, at most the server's `limits.page_size`. Default: 20.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Body<AuditPage>, Refused<Errors, Token>> {
        let wanted = (account_id.0, action.0.as_deref().map(known).transpose()?);
        let found = app.audit(&access, wanted, PageRequest::asked(limit.0, cursor.0)).await?;
        Ok(Body(AuditPage::new(found, app.profiles())))
    }
}

fn known(name: &str) -> Result<Action> {
    Action::ALL.iter().copied().find(|action| action.name() == name).ok_or_else(|| {
        let all: Vec<&str> = Action::ALL.iter().map(|action| action.name()).collect();
        Error::request(format!("action '{}' is unknown: expected one of {}", excerpt(name), all.join(", ")))
    })
}
