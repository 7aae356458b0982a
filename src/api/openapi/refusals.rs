//! The refusals that an operation may answer with, as types: one for each code, and tuples of them. So the contract
//! lists with each operation what it can answer, and nothing else.

/// A refusal: its status and code, its meaning in the middle of a sentence, and the headers of its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) meaning: &'static str,
    pub(crate) headers: &'static [&'static str],
}

/// The refusals that an operation may answer with.
pub(crate) trait Refusals: Send + Sync + 'static {
    /// Adds them. Of two with the same status and code the later one counts.
    fn add_to(all: &mut Vec<Refusal>);
}

/// Defines a type for each refusal.
macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $status:literal $code:literal $meaning:literal $([$($header:literal),*])?;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) enum $name {}

        impl $crate::api::openapi::Refusals for $name {
            fn add_to(all: &mut Vec<$crate::api::openapi::Refusal>) {
                let headers = &[$($($header),*)?];
                all.push($crate::api::openapi::Refusal { status: $status, code: $code, meaning: $meaning, headers });
            }
        }
    )*};
}

pub(crate) use refusals;

/// The headers that show the rest of a token's rate limit.
pub(crate) const RATE_LIMIT: [&str; 3] = ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"];

refusals! {
    /// The head of the request is broken.
    BadHead = 400 "INVALID_REQUEST" "the request names no host, or several.";
    /// The URL is too long.
    LongUrl = 414 "INVALID_REQUEST" "the URL is longer than limits.request_url_bytes.";
    /// The headers are too many or too large.
    LargeHeaders = 431 "INVALID_REQUEST" "there are more headers, or larger ones, than limits.request_headers and request_header_bytes allow.";
    /// There is no token, or no good one.
    NoAccess = 401 "UNAUTHORIZED" "no token, or one that is unknown or revoked, or has expired." ["WWW-Authenticate"];
    /// The token does not reach this.
    Forbidden = 403 "FORBIDDEN" "the token lacks the scope, or belongs to another platform's routes or another account.";
    /// The rate limit of the token is used up.
    TooOften = 429 "RATE_LIMITED" "too many requests of this token, or of this client at the same time; `Retry-After` says how long to wait." ["Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"];
    /// The account's share of what may wait or be stored is used up.
    TooMuch = 429 "RATE_LIMITED" "the account has used its share of what may wait or be stored, or too many of this client's requests are in progress; `Retry-After` says how long to wait." ["Retry-After"];
    /// A fault of the server.
    Fault = 500 "INTERNAL" "a fault of the server; its log says more, under the id of the request.";
    /// The server cannot take this now.
    NotNow = 503 "UNAVAILABLE" "the server cannot take this now: try again. Nothing was stored, unless the message says that this is not known." ["Retry-After"];

    /// A parameter cannot be taken.
    BadInput = 400 "INVALID_REQUEST" "the request is not of the documented form; the message names the fault and its place.";
    /// The body is too large.
    LargeBody = 413 "PAYLOAD_TOO_LARGE" "the body is larger than server.max_body_bytes, or a batch than server.max_batch_bytes.";
    /// The body is of another type.
    NotJson = 415 "UNSUPPORTED_MEDIA_TYPE" "the body is not sent as application/json in UTF-8, or is compressed.";

    /// The webhook is not there.
    NoWebhook = 404 "WEBHOOK_NOT_FOUND" "no webhook of this id can be seen with this token.";
    /// The delivery is not there.
    NoDelivery = 404 "DELIVERY_NOT_FOUND" "no delivery of this id can be seen with this token.";
    /// The event is not there.
    NoEvent = 404 "EVENT_NOT_FOUND" "no event of this id can be seen with this token.";
    /// The account is not there.
    NoAccount = 404 "ACCOUNT_NOT_FOUND" "the account that the request names does not exist.";
    /// The token to revoke is not there.
    NoToken = 404 "TOKEN_NOT_FOUND" "there is no token of this id, or it is revoked already.";
    /// The recovery is not there.
    NoRecovery = 404 "RECOVERY_NOT_FOUND" "no recovery of this id can be seen with this token.";

    /// The webhook is suspended.
    IsSuspended = 409 "WEBHOOK_SUSPENDED" "the webhook is suspended: resume it first.";
    /// The account has its full number of webhooks.
    IsFull = 409 "LIMIT_REACHED" "the account has its full number of webhooks (limits.webhooks_per_account): delete one first.";
    /// Too many recoveries go on.
    TenGoOn = 409 "LIMIT_REACHED" "ten of your recoveries go on: wait for one of them, or cancel one.";
    /// A former secret still signs.
    StillSigns = 409 "SECRET_OVERLAP" "a former secret still signs: wait for the end of its overlap.";
    /// There is such an account already.
    AlreadyExists = 409 "ALREADY_EXISTS" "an account with this id exists.";
    /// An attempt is under way.
    InFlight = 409 "DELIVERY_IN_FLIGHT" "an attempt of the delivery is under way.";
    /// The delivery goes out by itself.
    Waits = 409 "DELIVERY_PENDING" "the delivery waits for its next attempt, and goes out by itself.";
    /// The delivery has ended.
    HasEnded = 409 "ALREADY_ENDED" "the delivery has ended.";
    /// The webhook of the delivery is deleted.
    WebhookDeleted = 409 "ALREADY_ENDED" "the webhook of the delivery is deleted.";
    /// The request that came first with the idempotency key has not ended.
    KeyUnderWay = 409 "DELIVERY_IN_FLIGHT" "the attempt of the request that came with this idempotency key is under way: send it again in some seconds.";

    /// The webhook has another version.
    Changed = 412 "WEBHOOK_CHANGED" "the webhook has another version than `If-Match` names: get it again.";

    /// The URL may not be delivered to.
    BadUrl = 422 "URL_NOT_ALLOWED" "the URL cannot be delivered to; the message says why.";
    /// The catalogue has no such event.
    UnknownEvent = 422 "UNKNOWN_EVENT" "the catalogue has no event of this name.";
    /// The payload holds something that cannot be delivered unchanged.
    BadPayload = 422 "INVALID_PAYLOAD" "a value cannot be delivered as it is; the message names its place. Also a batch that comes to too many deliveries (limits.deliveries_per_batch).";
    /// The idempotency key was used for something else.
    KeyReused = 422 "IDEMPOTENCY_KEY_REUSED" "this idempotency key was used before for another request, such as one with another body.";
}

/// Of every operation: the head of the request.
pub(crate) type Head = (BadHead, LongUrl, LargeHeaders);
/// Of every operation with a token, except publishing.
pub(crate) type Token = (Head, BadInput, NoAccess, Forbidden, TooOften, Fault, NotNow);
/// Of every operation that publishes: the rate limit of the token does not count there.
pub(crate) type Publish = (Head, NoAccess, Forbidden, TooMuch, Fault, NotNow, Json);
/// Of the metrics, which no limit holds back.
pub(crate) type Unlimited = (Head, NoAccess, Forbidden, Fault, NotNow);
/// Of a replay: the delivery must have ended.
pub(crate) type NotEnded = (InFlight, Waits);
/// Of every operation that takes a body.
pub(crate) type Json = (BadInput, LargeBody, NotJson);

macro_rules! tuples {
    ($($($part:ident)*;)*) => {$(
        impl<$($part: Refusals),*> Refusals for ($($part,)*) {
            fn add_to(all: &mut Vec<Refusal>) {
                $($part::add_to(all);)*
            }
        }
    )*};
}

tuples! {
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
}
