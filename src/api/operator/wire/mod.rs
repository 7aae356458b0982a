//! The bodies of requests and answers, by subject.

mod alert;
mod delivery;
mod report;
mod retry;
mod tenancy;

pub(super) use self::{
    alert::AlertPage,
    delivery::{DeliveryReport, DeliveryReportDetails, DeliveryReportPage},
    report::{Overview, WebhookHistory, WebhookReportPage, WebhookState},
    retry::{NewRetry, Retry, RetryCount, RetryPage},
    tenancy::{Account, AccountPage, AuditPage, MadeToken, NewAccount, NewSignInLink, NewToken, SignInLink, TokenPage},
};
