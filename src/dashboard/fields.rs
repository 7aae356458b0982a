//! The fields of a form. They may hold a token or a secret, so they are wiped from memory when they are dropped.

use poem::{FromRequest, Request, RequestBody, Result, http::StatusCode};
use url::form_urlencoded;
use zeroize::Zeroizing;

use crate::{error::Error, http::body};

/// Most bytes of a form. The longest field is a URL, or a secret.
const MOST: usize = 64 << 10;
/// The content type of a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// Name and value of each field, in order.
#[derive(Clone)]
pub(super) struct Fields(Vec<(String, Zeroizing<String>)>);

impl Fields {
    pub(super) async fn read(request: &Request, body: &mut RequestBody) -> Result<Self> {
        if request.content_type().and_then(|given| given.split(';').next()) != Some(FORM) {
            let message = format!("this page takes forms: send {FORM}");
            return Err(poem::Error::from_string(message, StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let bytes = body::read(request, body, MOST).await?;
        Ok(Self(
            form_urlencoded::parse(&bytes)
                .map(|(name, value)| (name.into_owned(), value.into_owned().into()))
                .collect(),
        ))
    }

    /// The value of a field, without the white space around it; `None` if it is empty or not there.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The value of a field as it was sent; `None` if it is not there.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The value of a field, or a sentence that asks for it.
    pub(super) fn need(&self, name: &str, label: &str) -> Result<&str, Error> {
        self.get(name).ok_or_else(|| Error::request(format!("{label} is empty: fill it in")))
    }

    /// Every value of a field that may come several times.
    pub(super) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let of_name = self.0.iter().filter(move |(given, _)| given == name);
        of_name.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }
}

impl<'a> FromRequest<'a> for Fields {
    /// The fields that the dashboard has read already, to check the form's token.
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> Result<Self> {
        let read = request.data::<Self>().cloned();
        Ok(read.ok_or_else(|| Error::Internal("a form was not read".to_owned()))?)
    }
}
