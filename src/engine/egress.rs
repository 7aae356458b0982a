//! The address guard: which addresses a delivery may be sent to.
//!
//! It is ureq's resolver: every address is checked before it is dialled, at every attempt. A name that turns private
//! between two attempts gains nothing. The APIs use the same check when a target is registered.
//!
//! What the operator's settings name is judged by a guard of its own: [`Guard::of_settings`].

use std::{
    fmt,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use ureq::{
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{ResolvedSocketAddrs, Resolver},
        transport::NextTimeout,
    },
};
use url::Host;

use super::{
    embedded::Embedded,
    look_ups::{LookUp, LookUps, Unresolved},
    reuse,
};
use crate::{
    clock::SharedClock,
    config::Egress,
    domain::endpoint::{Blocked, TargetUrl},
    error::Result,
};

/// How long a registration waits for a look-up before it accepts the target. The attempt then decides.
const DOOR_LOOKUP: Duration = Duration::from_secs(2);
/// The capacity of ureq's list of addresses.
const MAX_DIALLED: usize = 16;

macro_rules! blocks {
    ($net:ident: $($a:expr, $prefix:expr;)*) => { [$($net::new_assert($a, $prefix)),*] };
}

/// IPv4 blocks that are not public (IANA's special-purpose registry, and a cloud's metadata server).
const DENIED_V4: [Ipv4Net; 19] = {
    use std::net::Ipv4Addr as A;
    blocks![Ipv4Net:
        A::new(0, 0, 0, 0), 8; A::new(10, 0, 0, 0), 8; A::new(100, 64, 0, 0), 10; A::new(127, 0, 0, 0), 8;
        A::new(169, 254, 0, 0), 16; A::new(172, 16, 0, 0), 12; A::new(192, 0, 0, 0), 24; A::new(192, 0, 2, 0), 24;
        A::new(192, 31, 196, 0), 24; A::new(192, 52, 193, 0), 24; A::new(192, 88, 99, 0), 24; A::new(192, 168, 0, 0), 16;
        A::new(192, 175, 48, 0), 24; A::new(198, 18, 0, 0), 15; A::new(198, 51, 100, 0), 24; A::new(203, 0, 113, 0), 24;
        A::new(224, 0, 0, 0), 4; A::new(240, 0, 0, 0), 4; A::new(168, 63, 129, 16), 32;
    ]
};

/// The only public IPv6 block.
const PUBLIC_V6: Ipv6Net = Ipv6Net::new_assert(std::net::Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Parts of it that are not public: Teredo (RFC 4380) and other protocols, documentation, 6to4 (RFC 3056).
const DENIED_V6: [Ipv6Net; 4] = {
    use std::net::Ipv6Addr as A;
    blocks![Ipv6Net:
        A::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23; A::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32;
        A::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16; A::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20;
    ]
};

/// Addresses that give out a machine's credentials: allowed only one by one, never by a block around them.
const METADATA: [IpAddr; 6] = {
    use std::net::{Ipv4Addr as A, Ipv6Addr as B};
    [
        IpAddr::V4(A::new(169, 254, 169, 254)),
        IpAddr::V4(A::new(169, 254, 170, 2)),
        IpAddr::V4(A::new(100, 100, 100, 200)),
        IpAddr::V4(A::new(168, 63, 129, 16)),
        IpAddr::V4(A::new(192, 0, 0, 192)),
        IpAddr::V6(B::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    ]
};

/// Refusals logged in a second: names that are tried in a loop must not fill the disk.
const REFUSALS_LOGGED: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

type Judgement = std::result::Result<(), Blocked>;

/// Who names the targets that are judged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NamedBy {
    /// An account.
    Account,
    /// The settings, which are the operator's.
    Settings,
}

/// The guard. Cheap to clone.
#[derive(Clone)]
pub struct Guard {
    egress: Egress,
    named_by: NamedBy,
    own: SocketAddr,
    clock: SharedClock,
    look_ups: Arc<LookUps>,
    refusals: Arc<DefaultDirectRateLimiter>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

impl Guard {
    /// A guard with these rules, for a server that listens on `own`.
    ///
    /// # Errors
    /// When the system cannot start threads.
    pub fn new(egress: &Egress, own: SocketAddr, look_up: &LookUp, clock: SharedClock) -> Result<Self> {
        let refusals = Arc::new(RateLimiter::direct(Quota::per_second(REFUSALS_LOGGED)));
        let look_ups = Arc::new(LookUps::start(look_up, Arc::clone(&clock))?);
        Ok(Self { egress: egress.clone(), named_by: NamedBy::Account, own, clock, look_ups, refusals })
    }

    /// The guard of what the settings name. `http://` and the addresses of the operator's own networks are free there, and
    /// need not be opened to all accounts. Link-local addresses and those of metadata stay refused: nobody runs a service
    /// for people there, and a name may lead there by a trick.
    #[must_use]
    pub(super) fn of_settings(&self) -> Self {
        Self { named_by: NamedBy::Settings, ..self.clone() }
    }

    /// The clock of the server.
    pub(super) fn clock(&self) -> SharedClock {
        Arc::clone(&self.clock)
    }

    /// The check at a registration. A target that is known to be refused is refused at once; a name that does not
    /// resolve within two seconds is accepted, and the attempt decides. Blocks for up to two seconds.
    ///
    /// # Errors
    /// Why it is refused, and the setting that opens it.
    pub fn vet(&self, url: &TargetUrl) -> Judgement {
        self.vet_as_written(url)?;
        let Host::Domain(name) = url.host() else { return Ok(()) };
        let Ok(addresses) = self.look_ups.resolve(name, url.port(), DOOR_LOOKUP) else { return Ok(()) };
        self.judge_all(name, &addresses)
    }

    /// The addresses of a name, unchecked. Blocks until they are found, at most `within`.
    ///
    /// # Errors
    /// When none is found in time.
    pub(super) fn look_up(&self, name: &str, port: u16, within: Duration) -> Result<Vec<SocketAddr>, Unresolved> {
        self.look_ups.resolve(name, port, within)
    }

    /// The check without a look-up: a host name is left to the attempt.
    ///
    /// # Errors
    /// As [`Guard::vet`].
    pub fn vet_as_written(&self, url: &TargetUrl) -> Judgement {
        if url.is_plain() && !self.takes_plain() {
            return Err(plain());
        }
        if url.as_str().parse::<Uri>().is_err() {
            let problem = "it holds characters that no request can carry: percent-encode them";
            return Err(Blocked::Written(problem.to_owned()));
        }
        let address = match url.host() {
            Host::Ipv4(address) => SocketAddr::new(address.into(), url.port()),
            Host::Ipv6(address) => SocketAddr::new(address.into(), url.port()),
            Host::Domain(_) => return Ok(()),
        };
        self.judge_all(&url.host().to_string(), &[address])
    }

    /// Where the server listens.
    pub(crate) fn own(&self) -> SocketAddr {
        self.own
    }

    /// Whether all addresses of a host may be dialled; a refused one is logged.
    fn judge_all(&self, host: &str, addresses: &[SocketAddr]) -> Judgement {
        let judged = addresses.iter().try_for_each(|address| self.judge(*address));
        judged.inspect_err(|reason| {
            if self.refusals.check().is_ok() {
                tracing::info!(host, %reason, "a target is refused");
            }
        })
    }

    /// Whether this address may be dialled.
    pub(super) fn judge(&self, target: SocketAddr) -> Judgement {
        let address = target.ip().to_canonical();
        let embedded = Embedded::of(address);
        let reached = |ip: &Ipv4Addr| SocketAddr::new(IpAddr::V4(*ip), target.port());
        if self.is_itself(target) || embedded.addresses().iter().any(|ip| self.is_itself(reached(ip))) {
            return Err(Blocked::Address(format!("{target} is this server itself")));
        }
        if self.allows(address, &embedded) || self.trusts(address, &embedded) {
            return Ok(());
        }
        let meant: Vec<String> = embedded.addresses().iter().map(Ipv4Addr::to_string).collect();
        Err(Blocked::Address(match &embedded {
            Embedded::Translated(..) => format!(
                "the address {address} stands for {}, which is not allowed; the operator can let it through by adding \
                 the IPv4 address to egress.allow",
                meant.join(" or ")
            ),
            Embedded::Nothing | Embedded::Tunnelled(_) => format!(
                "the address {address} is not allowed; the operator can let it through by adding it to egress.allow"
            ),
        }))
    }

    /// Whether the rules let this address through. One that a translator makes an IPv4 address is judged by that one, or
    /// opened by a block of the translator's prefix; so `::/0` opens no IPv4 address. A metadata address, also within
    /// another one, is opened only by a block that holds nothing else.
    fn allows(&self, address: IpAddr, embedded: &Embedded) -> bool {
        let metadata = METADATA.contains(&address)
            || embedded.addresses().iter().any(|within| METADATA.contains(&IpAddr::V4(*within)));
        let opens = |block: &IpNet, address: IpAddr| {
            block.contains(&address) && (!metadata || block.prefix_len() == block.max_prefix_len())
        };
        let allowed = |address: IpAddr| {
            self.egress.allow.iter().any(|block| opens(block, address))
                || (self.egress.public && !metadata && is_public(address))
        };
        match embedded {
            Embedded::Translated(prefix, addresses) => {
                let prefix = IpNet::V6(*prefix);
                let own = self.egress.allow.iter().any(|block| prefix.contains(block) && opens(block, address));
                own || addresses.iter().all(|within| allowed(IpAddr::V4(*within)))
            }
            Embedded::Tunnelled(_) => self.egress.allow.iter().any(|block| opens(block, address)),
            Embedded::Nothing => allowed(address),
        }
    }

    /// Whether it is enough that the operator names this address.
    fn trusts(&self, address: IpAddr, embedded: &Embedded) -> bool {
        let near = |address: IpAddr| METADATA.contains(&address) || is_link_local(address);
        let within = embedded.addresses();
        self.named_by == NamedBy::Settings && !near(address) && !within.iter().any(|within| near(IpAddr::V4(*within)))
    }

    fn takes_plain(&self) -> bool {
        self.egress.allow_http || self.named_by == NamedBy::Settings
    }

    /// Whether dialling the target reaches this server.
    fn is_itself(&self, target: SocketAddr) -> bool {
        let (own, address) = (self.own.ip().to_canonical(), target.ip().to_canonical());
        if target.port() != self.own.port() {
            return false;
        }
        if own.is_unspecified() {
            return is_of_this_machine(target);
        }
        // Dialling the unspecified address reaches loopback.
        address == own || (own.is_loopback() && address.is_unspecified())
    }
}

/// Whether the address belongs to this machine now: the kernel lets a socket bind only such addresses.
///
/// A list of interfaces would not cover all of 127.0.0.0/8, or an address that was just added. In doubt the answer is
/// yes; so it is for every address on a machine that may bind foreign ones (`ip_nonlocal_bind`).
fn is_of_this_machine(target: SocketAddr) -> bool {
    // The whole socket address is kept: an IPv6 address may need its scope.
    let mut any_port = target;
    any_port.set_ip(target.ip().to_canonical());
    any_port.set_port(0);
    !UdpSocket::bind(any_port).is_err_and(|error| error.kind() == ErrorKind::AddrNotAvailable)
}

fn plain() -> Blocked {
    Blocked::Written(
        "http:// is not allowed, use https://; the operator can let it through by egress.allow_http".to_owned(),
    )
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !DENIED_V4.iter().any(|block| block.contains(&address)),
        IpAddr::V6(address) => PUBLIC_V6.contains(&address) && !DENIED_V6.iter().any(|block| block.contains(&address)),
    }
}

impl Resolver for Guard {
    fn resolve(&self, uri: &Uri, _: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let plain_http = uri.scheme_str() == Some("http");
        if plain_http && !self.takes_plain() {
            return Err(blocked(plain()));
        }
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let port = uri.port_u16().unwrap_or(if plain_http { 80 } else { 443 });
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let addresses = match literal {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => self.look_ups.resolve(host, port, *timeout.after).map_err(unresolved)?,
        };
        self.judge_all(host, &addresses).map_err(blocked)?;
        let mut dialled = self.empty();
        addresses.iter().take(MAX_DIALLED).for_each(|address| dialled.push(*address));
        // ureq asks for the addresses before it looks for a kept connection.
        reuse::note(addresses);
        if dialled.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(dialled) }
    }
}

fn unresolved(reason: Unresolved) -> ureq::Error {
    match reason {
        Unresolved::ByItself => ureq::Error::HostNotFound,
        Unresolved::ByUs => ureq::Error::Other(Box::new(reason)),
    }
}

fn blocked(reason: Blocked) -> ureq::Error {
    ureq::Error::Other(Box::new(reason))
}
