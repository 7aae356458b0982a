//! The bodies of requests and answers, by subject.

mod alert;
mod delivery;
mod recovery;
mod report;
mod tenancy;

pub(super) use self::{
    alert::AlertPage,
    delivery::{DeliveryReport, DeliveryReportDetails, DeliveryReportPage},
    recovery::{NewRecovery, RecoveryReport, RecoveryReportPage, Retry, RetryPage},
    report::{Overview, WebhookHistory, WebhookReportPage, WebhookState},
    tenancy::{Account, AccountPage, AuditPage, MadeToken, NewAccount, NewSignInLink, NewToken, SignInLink, TokenPage},
};
