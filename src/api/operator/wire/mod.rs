//! What goes over the wire, by subject.

mod alert;
mod delivery;
mod report;
mod retry;
mod tenancy;

pub(crate) use self::delivery::{Header, MASK, Request};
pub(super) use self::{
    alert::{Alert, AlertPage},
    delivery::{DeliveryReport, DeliveryReportDetails, DeliveryReportPage},
    report::{Overview, WebhookHistory, WebhookReport, WebhookReportPage, WebhookState},
    retry::{NewRetry, Retry, RetryCount, RetryPage},
    tenancy::{
        Account, AccountPage, AuditEntry, AuditPage, MadeToken, NewAccount, NewToken, Token, TokenPage, TokenScope,
    },
};
