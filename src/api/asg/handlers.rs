//! The routes under `/v1`: parse, one call, reply.

use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
};

use super::{
    draft::SettledTask,
    errors::Errors,
    examples::Tag,
    profile::TASK_SETTLED,
    wire::{Accepted, AcceptedEvents, NewEvent, NewEvents, NewWebhook, Task, WebhookView},
};
use crate::{
    api::{
        openapi::{Body, Printed, Refused, WithBody, WithoutBody},
        publishing::{self, Place},
    },
    app::{Access, App, Events, Webhooks, webhooks},
    error::Result,
};

/// The routes.
pub(crate) struct Routes;

#[derive(ApiResponse)]
enum Registered {
    /// Registered and active.
    #[oai(status = 201)]
    Created(Body<WebhookView>),
}

#[derive(ApiResponse)]
enum Publication {
    /// On disk, and on its way.
    #[oai(status = 202)]
    Accepted(Body<Accepted>),
}

#[derive(ApiResponse)]
enum BatchPublication {
    /// All of them are on disk, and on their way.
    #[oai(status = 202)]
    Accepted(Printed<AcceptedEvents>),
}

#[OpenApi(tag = "Tag::Asg", prefix_path = "/v1")]
impl Routes {
    /// Register a webhook
    ///
    /// From then on every settled task goes out to it, but those published for the `callback_url` of another. Needs the scope
    /// `webhooks`.
    #[oai(path = "/webhooks", method = "post", operation_id = "asgRegisterWebhook")]
    async fn register(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        body: Body<NewWebhook>,
    ) -> Result<Registered, Refused<Errors, WithBody>> {
        let NewWebhook { callback_url: url, secret, events, account } = body.0;
        let account = access.acts_for(account.as_deref(), "account")?;
        let events = events.unwrap_or_else(|| vec![TASK_SETTLED.to_owned()]);
        let new = webhooks::NewWebhook { account, url, events, secret: secret.map(|own| own.0) };
        Ok(Registered::Created(Body(app.register(&access, new).await?.into())))
    }

    /// List webhooks
    ///
    /// Every webhook of the account, with the newest 1,000 of the deleted ones. Secrets are not returned. Needs the scope `webhooks`.
    #[oai(path = "/webhooks", method = "get", operation_id = "asgListWebhooks")]
    async fn list(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
    ) -> Result<Body<Vec<WebhookView>>, Refused<Errors, WithoutBody>> {
        Ok(Body(app.webhooks(&access).await?.iter().map(WebhookView::from).collect()))
    }

    /// Delete a webhook
    ///
    /// Deactivates it (a soft delete) and cancels what is still pending for it; an attempt under way may still arrive.
    /// Deleting it again answers the same, until it is forgotten after a time (`retention.undelivered` in the server's config, 90 days by default). Needs
    /// the scope `webhooks`.
    #[oai(path = "/webhooks/:webhook_id", method = "delete", operation_id = "asgDeleteWebhook")]
    async fn delete(
        &self,
        access: Access<Webhooks>,
        app: Data<&App>,
        /// The webhook's id, `whk_...`.
        webhook_id: Path<String>,
    ) -> Result<Body<WebhookView>, Refused<Errors, WithoutBody>> {
        Ok(Body(WebhookView::from(&app.deactivate(&access, &webhook_id.0).await?)))
    }

    /// Publish a settled task
    ///
    /// A 202 means: on disk, and on its way to every active webhook of the account, or to the one whose URL is
    /// `callback_url`. The same `task_id` with the same body may be sent again: it gets the same answer and is delivered
    /// once, as long as the task is kept: 30 days, unless the server's `retention.delivered` says otherwise (a day at
    /// least). Needs the scope `events`.
    #[oai(path = "/events", method = "post", operation_id = "asgPublishEvent")]
    async fn publish(
        &self,
        access: Access<Events>,
        app: Data<&App>,
        body: Body<NewEvent>,
        place: Place,
    ) -> Result<Publication, Refused<Errors, WithBody>> {
        let task = SettledTask::new(body.0, &access, app.limits())?;
        let (task, accepted) = app.publish(&access, task, place).await?;
        Ok(Publication::Accepted(Body(task.answer(&accepted))))
    }

    /// Publish many settled tasks at once
    ///
    /// 1 to 1,000 events (`limits.events_per_batch`) that come to 10,000 deliveries at most (`limits.deliveries_per_batch`), all
    /// or none: a 202 means that each is on disk and on its way, a refusal
    /// that nothing was stored; it names the first event at fault by its place, such as `events[3]`. They are taken in their
    /// order and answered in it. The same batch may be sent again, as each event is known by its `task_id`, also within one
    /// batch: it gets the same answer and is delivered once. Needs the scope `events`.
    #[oai(path = "/events/batch", method = "post", operation_id = "asgPublishBatch")]
    async fn publish_batch(
        &self,
        access: Access<Events>,
        app: Data<&App>,
        body: Body<NewEvents>,
        place: Place,
    ) -> Result<BatchPublication, Refused<Errors, WithBody>> {
        let (publisher, limits) = (access.clone(), app.limits().clone());
        let check = move |event| SettledTask::new(event, &publisher, &limits);
        let tasks = publishing::check(body.0.events, app.limits(), check).await?;
        let (stored, place) = app.publish_many(&access, tasks, place).await?;
        let answer = move || {
            let _held = place;
            Ok(AcceptedEvents { events: stored.into_iter().map(|(task, accepted)| task.answer(&accepted)).collect() })
        };
        Ok(BatchPublication::Accepted(Printed::new(answer).await?))
    }

    /// Look at a task
    ///
    /// What was published, and what became of its deliveries: `webhook_fail` is true when one was given up and none is under
    /// way. Needs the scope `events`.
    #[oai(path = "/tasks/:task_id", method = "get", operation_id = "asgGetTask")]
    async fn task(
        &self,
        access: Access<Events>,
        app: Data<&App>,
        /// The task, as it was published.
        task_id: Path<String>,
        /// The account it was published for. Needed only with a token that belongs to no account, when several have it.
        account: Query<Option<String>>,
    ) -> Result<Body<Task>, Refused<Errors, WithoutBody>> {
        let named = account.0.map(|named| access.acts_for(Some(&named), "account")).transpose()?;
        let (details, attempts) = app.event_by_key(&access, task_id.0, named).await?;
        Ok(Body(Task::new(details, &attempts)?))
    }
}
