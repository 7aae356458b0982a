//! The page that shows a secret once.

use askama::Template;
use poem::{
    Response, Result, handler,
    http::StatusCode,
    web::{Data, Path},
};

use super::{form_once::Shown, frame::Frame, render::page, state::Shared, visit::Visit};

/// A page that shows something once.
#[derive(Template)]
#[template(path = "once.html", config = "src/dashboard/askama.toml")]
struct Once<'a> {
    frame: Frame<'a>,
    shown: &'a Shown,
}

#[handler]
pub(super) fn show(shared: Data<&Shared>, visit: Visit, form: Path<String>) -> Result<Response> {
    let gone = || {
        let message = "what stood here is gone: it is shown for a minute. If it was not copied, make a new one";
        poem::Error::from_string(message, StatusCode::NOT_FOUND)
    };
    let shown = shared.made.shown(&visit, &form).ok_or_else(gone)?;
    page(&Once { frame: Frame::new(&shared, &visit, ""), shown: &shown })
}
