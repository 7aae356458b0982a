//! The page that says why something cannot be done.

use askama::Template;
use poem::{Response, http::StatusCode};

use super::{assets::Assets, frame::Frame, render::page, state::Shared, visit::Visit};
use crate::{error::Error, http::error::Problem};

#[derive(Template)]
#[template(path = "refusal.html", config = "src/dashboard/askama.toml")]
struct Refusal<'a> {
    frame: Frame<'a>,
    title: &'static str,
    message: String,
}

#[derive(Template)]
#[template(path = "closed.html", config = "src/dashboard/askama.toml")]
struct Closed<'a> {
    assets: &'a Assets,
    title: &'static str,
    message: String,
}

/// The page of an error, with its sentence.
pub(super) fn refusal(shared: &Shared, visit: Option<&Visit>, error: &poem::Error, request_id: &str) -> Response {
    let problem = Problem::of(error);
    if let Some(Error::Internal(reason)) = &problem.error {
        tracing::error!(request.id = request_id, reason, "a page failed by our fault");
    }
    let title = match problem.status {
        StatusCode::FORBIDDEN if problem.error.is_none() => "This form was not taken",
        StatusCode::FORBIDDEN => "Not with this token",
        StatusCode::NOT_FOUND => "Not here",
        StatusCode::TOO_MANY_REQUESTS => "A moment, please",
        StatusCode::SERVICE_UNAVAILABLE => "Not right now",
        status if status.is_server_error() => "Something went wrong",
        _ => "That cannot be done",
    };
    let mut message = problem.message;
    if problem.status.is_server_error() {
        message = format!("{message} ({request_id})");
    }
    let made = match visit {
        Some(visit) => page(&Refusal { frame: Frame::new(shared, visit, ""), title, message }),
        None => page(&Closed { assets: &shared.assets, title, message }),
    };
    let mut response = made.unwrap_or_default();
    response.set_status(problem.status);
    response
}
