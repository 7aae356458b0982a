//! The dashboard used without a real browser: keeps the cookie, and sends the token of the forms.

use tracing::subscriber::NoSubscriber;

use crate::support::{
    client::Answer,
    leaks,
    world::{Holder, World},
};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// A browser without a screen: it keeps its cookie, and sends the token of the forms.
pub struct Browser {
    agent: ureq::Agent,
    pub cookie: String,
    pub form: String,
    origin: String,
}

impl Browser {
    pub fn new(world: &World) -> Self {
        Self::at(&world.address().to_string())
    }

    /// A browser of the server with this address and port.
    pub fn at(address: &str) -> Self {
        let origin = format!("http://{address}");
        let agent =
            ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).proxy(None).build().into();
        Self { agent, cookie: String::new(), form: String::new(), origin }
    }

    /// Signed in with this token.
    pub fn with(world: &World, token: &str) -> Self {
        let mut browser = Self::new(world);
        let entered = browser.enter(token);
        assert_eq!((entered.status, entered.header("location")), (303, "/ui"), "{}", entered.text);
        browser
    }

    pub fn enter(&mut self, token: &str) -> Answer {
        let entered = self.post("/ui/sign-in", &[("token", token)]);
        self.cookie = entered.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
        leaks::secret(self.cookie.trim_start_matches("ngoma_session="));
        let home = self.get("/ui/events");
        let form = home.text.split_once("name=\"form\" value=\"").and_then(|(_, rest)| rest.split('"').next());
        self.form = form.unwrap_or_default().to_owned();
        entered
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[("cookie", &self.cookie), ("accept-encoding", "identity")], None)
    }

    /// Sends a request as it is, and follows nothing.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Answer {
        let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.origin));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let run = || match body {
            Some(body) => self.agent.run(request.body(body).expect("a request")),
            None => self.agent.run(request.body(()).expect("a request")),
        };
        // The browser's own log names every address, and that of a sign-in link is a secret.
        let response = tracing::subscriber::with_default(NoSubscriber::new(), run);
        let mut response = response.expect("the server answers");
        let headers = response.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("").to_owned())).collect();
        let text = response.body_mut().read_to_string().expect("a text");
        // The secrets on such pages are meant to be there.
        if !["/ui/made/", "/ui/enter/"].iter().any(|page| path.starts_with(page)) {
            leaks::exchange(path, None, response.status().as_u16(), &text);
        }
        Answer { status: response.status().as_u16(), headers, text }
    }

    /// Sends a form of a page, with its hidden fields.
    pub fn submit(&self, page: &Answer, action: &str, fields: &[(&str, &str)]) -> Answer {
        let hidden = hidden(&page.text, action);
        let hidden = hidden.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        self.post(action, &fields.iter().copied().chain(hidden).collect::<Vec<_>>())
    }

    /// The page that an answer leads to.
    pub fn follow(&self, answer: &Answer) -> Answer {
        assert_eq!(answer.status, 303, "{}", answer.text);
        self.get(answer.header("location"))
    }

    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.post_with(path, fields, &[("origin", &self.origin)])
    }

    pub fn post_with(&self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.append_pair("form", &self.form).extend_pairs(fields);
        let own = [("cookie", self.cookie.as_str()), FORM, ("accept-encoding", "identity")];
        let headers = [&own[..], headers].concat();
        self.send("POST", path, &headers, Some(body.finish().as_bytes()))
    }
}

/// The page of a recovery, once it has ended.
pub fn ended(world: &World, browser: &Browser, run: &str) -> String {
    for _ in 0..10_000 {
        let page = browser.get(run).text;
        // The page of a run that has ended does not refresh itself.
        if !page.contains("data-every") {
            return page;
        }
        world.advance("1s");
    }
    panic!("it never ends: {}", browser.get(run).text);
}

/// The hidden fields of this page's form with this action.
pub fn hidden(page: &str, action: &str) -> Vec<(String, String)> {
    let at = page.find(&format!("action=\"{action}\"")).unwrap_or_else(|| panic!("no form goes to {action}: {page}"));
    let form = page[at..].split("</form>").next().unwrap_or_default();
    let fields = form.split("<input type=\"hidden\" name=\"").skip(1).filter_map(|field| {
        let (name, rest) = field.split_once("\" value=\"")?;
        Some((name.to_owned(), rest.split('"').next()?.to_owned()))
    });
    fields.filter(|(name, _)| name != "form").collect()
}

pub fn operator(world: &World) -> Browser {
    Browser::with(world, &world.token_for(Holder::Operator, "operator"))
}

pub fn of(world: &World, account: &str, scopes: &str) -> Browser {
    Browser::with(world, &world.token_for(Holder::Account(account.to_owned()), scopes))
}

/// Whether an answer leads to the sign-in page.
pub fn to_sign_in(answer: &Answer) -> bool {
    answer.status == 303 && answer.header("location").starts_with("/ui/sign-in")
}
