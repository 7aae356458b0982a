//! Public ids: a prefix for the kind of object, and a ULID, so that ids sort by time.

use std::fmt;

use ulid::Ulid;

use crate::domain::timestamp::Timestamp;

fn mint(now: Timestamp) -> Ulid {
    let mut random = [0; 16];
    // Without random bytes the id still sorts by time, and the schema refuses one that is there already.
    let _ = getrandom::fill(&mut random);
    Ulid::from_parts(u64::try_from(now.millis()).unwrap_or(0), u128::from_le_bytes(random) >> 48)
}

/// The ULID behind a prefix; `None` unless it is written exactly as it is printed.
fn strip(prefix: &str, text: &str) -> Option<Ulid> {
    let digits = text.strip_prefix(prefix)?;
    Ulid::from_string(digits).ok().filter(|ulid| ulid.array_to_str(&mut [0; ulid::ULID_LEN]) == digits)
}

/// Whether this looks like an id of ours, of any kind: a short prefix and a ULID.
pub fn is_one(text: &str) -> bool {
    let prefix = text.find('_').map_or("", |end| &text[..=end]);
    (2..=5).contains(&prefix.len())
        && prefix.bytes().all(|b| b == b'_' || b.is_ascii_lowercase())
        && strip(prefix, text).is_some()
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(Ulid);

        impl $name {
            /// A new id for this moment.
            pub fn mint(now: Timestamp) -> Self {
                Self(mint(now))
            }

            /// The smallest id of this moment.
            pub fn first_of(moment: Timestamp) -> Self {
                Self(Ulid::from_parts(u64::try_from(moment.millis()).unwrap_or(0), 0))
            }

            /// The moment it was made for.
            pub fn minted_at(self) -> Timestamp {
                Timestamp::from_millis(i64::try_from(self.0.timestamp_ms()).unwrap_or(i64::MAX))
            }

            /// Reads an id as it is printed; `None` if it is not one.
            pub fn parse(text: &str) -> Option<Self> {
                strip($prefix, text).map(Self)
            }

            /// The sixteen bytes that are stored.
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.to_bytes()
            }

            /// The id of sixteen stored bytes.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Ulid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, self.0)
            }
        }
    )*};
}

ids! {
    /// Names an event; also the `webhook-id` of its deliveries.
    EventId = "evt_";
    /// Names a delivery.
    DeliveryId = "dlv_";
    /// Names a token; not secret.
    TokenId = "tok_";
    /// Names an alert; also its Message-ID, and the `webhook-id` of its POSTs.
    AlertId = "alr_";
    /// Names a recovery.
    RecoveryId = "rec_";
    /// Names one API request, in answers and logs.
    RequestId = "req_";
    /// Names an endpoint. On the wire it carries its profile's prefix instead: [`EndpointId::on_wire`].
    EndpointId = "";
}

impl EndpointId {
    /// The webhook id as the vendor writes it: its prefix and the ULID.
    pub fn on_wire(self, prefix: &str) -> String {
        format!("{prefix}{self}")
    }

    /// Reads a webhook id with the vendor's prefix; `None` if it is not one.
    pub fn from_wire(prefix: &str, text: &str) -> Option<Self> {
        strip(prefix, text).map(Self)
    }
}
