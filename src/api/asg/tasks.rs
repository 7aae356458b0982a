//! The routes of settled tasks: `/v1/events` and `/v1/tasks`. Parse, one call, reply.

use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};

use super::{
    draft::SettledTask,
    errors::{BadTarget, Errors, NoTask, TaskDiffers},
    examples::Tag,
    wire::{Accepted, AcceptedEvents, EventInput, EventsInput, Task},
};
use crate::{
    api::{
        openapi::{
            Body, Printed, Refused,
            refusals::{BadPayload, NoAccount, Publish, Token, UnknownEvent},
        },
        publishing::{self, BatchPublication, Place, Publication},
    },
    app::{Access, App, Events},
    error::Result,
};

pub(crate) struct Routes;

#[OpenApi(tag = "Tag::Asg", prefix_path = "/v1")]
impl Routes {
    /// Publish a settled task
    ///
    /// Publishes a settled task. It stores the task and sends it to every active webhook of the account, or to the one
    /// whose URL is `callback_url`. A 202 means: the task is on disk. The same `task_id` with the same body may be sent
    /// again: it gets the same answer and is delivered once. This holds as long as the task is kept: 30 days, unless
    /// the server's `retention.delivered` says otherwise (at least a day). Needs the scope `events`.
    #[oai(path = "/events", method = "post", operation_id = "asgPublishEvent")]
    async fn publish(
        &self,
        access: Access<Events>,
        app: Data<&App>,
        body: Body<EventInput>,
        place: Place,
    ) -> Result<
        Publication<Accepted>,
        Refused<Errors, (Publish, NoAccount, TaskDiffers, BadTarget, UnknownEvent, BadPayload)>,
    > {
        let task = SettledTask::new(body.0, &access, app.limits())?;
        let (task, accepted) = app.publish(&access, task, place).await?;
        Ok(Publication::Accepted(Body(task.answer(&accepted))))
    }

    /// Publish many settled tasks at once
    ///
    /// Publishes 1 to 1,000 settled tasks (`limits.events_per_batch`) with at most 10,000 deliveries
    /// (`limits.deliveries_per_batch`) together. It stores and sends all of them, or none. A 202 means: all events are
    /// on disk. A refusal means: nothing was stored; it names the first event at fault by its place, such as
    /// `events[3]`. The answers come in the order of the events. The same batch may be sent again, because each event
    /// is known by its `task_id`: it gets the same answer and is delivered once. Needs the scope `events`.
    #[oai(path = "/events/batch", method = "post", operation_id = "asgPublishBatch")]
    async fn publish_batch(
        &self,
        access: Access<Events>,
        app: Data<&App>,
        body: Body<EventsInput>,
        place: Place,
    ) -> Result<
        BatchPublication<AcceptedEvents>,
        Refused<Errors, (Publish, NoAccount, TaskDiffers, BadTarget, UnknownEvent, BadPayload)>,
    > {
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

    /// Get a task
    ///
    /// Shows a published task and the result of its deliveries. It changes nothing. `webhook_fail` is true when a
    /// delivery was given up, no replay of it has arrived since, and none is under way. Needs the scope `events`.
    #[oai(path = "/tasks/:task_id", method = "get", operation_id = "asgGetTask")]
    async fn task(
        &self,
        access: Access<Events>,
        app: Data<&App>,
        /// The task's id.
        task_id: Path<String>,
        /// The account that it was published for. Needed only with a token that belongs to no account, if several
        /// accounts have this task.
        account: Query<Option<String>>,
    ) -> Result<Body<Task>, Refused<Errors, (Token, NoTask)>> {
        let named = account.0.map(|named| access.acts_for(Some(&named), "account")).transpose()?;
        let (details, attempts) = app.event_by_key(&access, task_id.0, named).await?;
        Ok(Body(Task::new(details, &attempts)?))
    }
}
