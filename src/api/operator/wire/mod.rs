//! The bodies of requests and answers, by subject.

mod alert;
mod alert_post;
mod delivery;
mod notice;
mod recovery;
mod report;
mod tenancy;

pub(super) use self::{
    alert::AlertPage,
    delivery::{DeliveryReport, DeliveryReportDetails, DeliveryReportPage},
    recovery::{RecoveryInput, RecoveryReport, RecoveryReportPage, Retry, RetryPage},
    report::{Overview, WebhookHistory, WebhookReportPage, WebhookState},
    tenancy::{
        Account, AccountInput, AccountPage, AccountUpdate, AuditPage, ChangedAccount, MadeToken, SignInLink,
        SignInLinkInput, TokenInput, TokenPage,
    },
};
pub(crate) use self::{alert_post::Posts, notice::Notices};
