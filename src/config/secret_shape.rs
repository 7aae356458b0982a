//! What a secret must look like, as far as that is known before it is used. The sentences never repeat it.

/// How a secret for Standard Webhooks begins.
const STANDARD: &str = "whsec_";

/// The kinds of secrets.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// An address.
    Url,
    /// What signs.
    Key,
    /// What goes into a header.
    Token,
    /// The token of a bot of Telegram, which goes into a path.
    BotToken,
}

impl Shape {
    /// Why this cannot be such a secret, ready to follow its name; `None` if it can, or if there is none.
    pub(super) fn flaw(self, secret: &str) -> Option<String> {
        let unseen = |c: &char| c.is_control() || *c == '\u{feff}';
        let secret = secret.trim();
        if let Some(unseen) = secret.chars().find(unseen) {
            return Some(format!("has the invisible character U+{:04X} in it: write it again", u32::from(unseen)));
        }
        let wrong = match self {
            _ if secret.is_empty() => false,
            Self::Url => false,
            Self::Key => {
                let begin = secret.get(..STANDARD.len()).unwrap_or_default();
                begin.eq_ignore_ascii_case(STANDARD) && begin != STANDARD
            }
            Self::Token => !secret.bytes().all(|byte| byte.is_ascii_graphic()),
            Self::BotToken => !is_of_bot(secret),
        };
        let expected = match self {
            Self::Url | Self::Key => "begins with whsec_ in large letters: write it in small ones",
            Self::Token => "is no token: expected visible ASCII characters, without spaces",
            Self::BotToken => {
                "is no token of a bot: expected what BotFather gave, such as 123456789:AAE..., of a number, ':', and letters, \
                 digits, - or _"
            }
        };
        wrong.then(|| expected.to_owned())
    }
}

/// Whether this is the token of a bot of Telegram.
fn is_of_bot(token: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    token.split_once(':').is_some_and(|(id, rest)| {
        !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) && !rest.is_empty() && rest.bytes().all(plain)
    })
}
