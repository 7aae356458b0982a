//! Leads each request to its door: the API, the dashboard, or a page.

use poem::{Endpoint, Request, Response, endpoint::BoxEndpoint, error::NotFoundError, http::Method};

use crate::{
    api,
    config::DEFAULTS,
    dashboard::{self, Dashboard},
    guide::{self, CHAPTERS, Chapter, FOR_WATCHERS},
    http::{
        asset::Asset,
        context::{Door, RequestContext},
        pipeline::Doors,
    },
};

pub(super) struct Answers {
    /// The pages that never change, by their path.
    pub(super) pages: Vec<(&'static str, Asset)>,
    /// The dashboard.
    pub(super) dashboard: Dashboard,
    /// The routes of the API.
    pub(super) api: BoxEndpoint<'static, Response>,
}

impl Answers {
    pub(super) fn doors(self) -> Doors<Self> {
        Doors { find, answer: self, explain: api::explain, refuse: api::refuse }
    }
}

/// Where browsers look for an icon that no page names.
const FAVICON: &str = "/favicon.ico";

/// The icon, at that address.
pub(super) fn favicon() -> (&'static str, Asset) {
    (FAVICON, Asset::new("image/svg+xml", || Ok(dashboard::ICON.to_owned())))
}

/// The pages of the guide, and the files to which it leads.
pub(super) fn guide_pages() -> impl Iterator<Item = (&'static str, Asset)> {
    let file = |path, text: &'static str| (path, Asset::new("text/plain; charset=utf-8", || Ok(text.to_owned())));
    let files = FOR_WATCHERS.into_iter().chain([("/guide/config.toml", DEFAULTS)]);
    let page = |chapter: &'static Chapter| {
        (chapter.path, Asset::new("text/html; charset=utf-8", || chapter.page(dashboard::STYLE)))
    };
    CHAPTERS.iter().map(page).chain(files.map(move |(path, text)| file(path, text)))
}

fn find(method: &Method, path: &str) -> Door {
    if dashboard::is_at(path) {
        Door::Dashboard
    } else if guide::is_at(path) || path == FAVICON {
        Door::Page
    } else {
        api::door(method, path)
    }
}

impl Endpoint for Answers {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        match request.data::<RequestContext>().map(RequestContext::door) {
            Some(Door::Dashboard) => self.dashboard.call(request).await,
            Some(Door::Page) => {
                let page = self.pages.iter().find(|(path, _)| *path == request.uri().path());
                page.ok_or(NotFoundError)?.1.call(request).await
            }
            _ => self.api.call(request).await,
        }
    }
}
