//! IPv4 addresses inside IPv6 addresses: a translator or a tunnel may turn the one into the other on the way, so the
//! guard must judge the address that is reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;

/// NAT64's well-known prefix (RFC 6052, section 2.1): the last 32 bits are the IPv4 address.
const WELL_KNOWN: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
/// NAT64's local-use prefix (RFC 8215). A network divides it as it likes.
const LOCAL_USE: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48);
/// 6to4 (RFC 3056): bits 16 to 47 are the IPv4 address of a router.
const SIX_TO_FOUR: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16);
/// IPv4-compatible addresses (RFC 4291, section 2.5.5.1).
const COMPATIBLE: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 96);
/// IPv4-translated addresses (RFC 2765, section 2.1).
const TRANSLATED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96);

/// What an IPv6 address holds of IPv4. IPv4-mapped addresses (RFC 4291, section 2.5.5.2) are IPv4 addresses to the
/// kernel, and the guard takes them for such before it asks here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Embedded {
    /// Nothing.
    Nothing,
    /// NAT64: a translator sends the packet on to one of these addresses, so the address is judged by all of them. The
    /// prefix is the translator's.
    Translated(Ipv6Net, Vec<Ipv4Addr>),
    /// Another form: the packet goes to an IPv6 host behind a tunnel, or nowhere. The address is denied.
    Tunnelled(Ipv4Addr),
}

impl Embedded {
    pub(super) fn of(address: IpAddr) -> Self {
        let IpAddr::V6(address) = address else { return Self::Nothing };
        let bits = address.to_bits();
        if WELL_KNOWN.contains(&address) {
            return Self::Translated(WELL_KNOWN, vec![at(bits, 96)]);
        }
        if LOCAL_USE.contains(&address) {
            return Self::Translated(LOCAL_USE, readings(bits));
        }
        if SIX_TO_FOUR.contains(&address) {
            return Self::Tunnelled(at(bits, 16));
        }
        // ISATAP (RFC 5214, section 6.1), in any network: 0000:5efe or 0200:5efe, then the IPv4 address.
        let [.., first, second, _, _] = address.segments();
        let isatap = matches!(first, 0 | 0x0200) && second == 0x5efe;
        if isatap || COMPATIBLE.contains(&address) || TRANSLATED.contains(&address) {
            return Self::Tunnelled(at(bits, 96));
        }
        Self::Nothing
    }

    /// The IPv4 addresses.
    pub(super) fn addresses(&self) -> &[Ipv4Addr] {
        match self {
            Self::Nothing => &[],
            Self::Translated(_, addresses) => addresses,
            Self::Tunnelled(address) => std::slice::from_ref(address),
        }
    }
}

/// The 32 bits after the first `bits`.
fn at(address: u128, bits: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits((address >> (96 - bits)) as u32)
}

/// The addresses that a local-use one may stand for. Only its network knows how long the translator's prefix is: 96
/// bits mostly, 48, 56 or 64 else (RFC 6052, section 2.2). Then bits 64 to 71 are left out, and a translator may ignore
/// what follows the address: so none of the readings can be excluded. But 0.0.0.0/8 reaches nobody, which is how the
/// shorter ones read an address of 64:ff9b:1::/96.
fn readings(address: u128) -> Vec<Ipv4Addr> {
    // Without bits 64 to 71, what follows them moves up.
    let joined = (address >> 64 << 64) | (address << 72 >> 64);
    let shorter = [48, 56, 64].map(|bits| at(joined, bits)).into_iter().filter(|address| address.octets()[0] != 0);
    std::iter::once(at(address, 96)).chain(shorter).collect()
}
