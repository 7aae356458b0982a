//! Every block of the address guard, at its edges, through the door.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::json;

use crate::support::{
    client::Client,
    world::{COOP, Wish, World},
};

/// IPv4 blocks that are not public.
const DENIED_V4: &str = "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 \
    192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 \
    198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 168.63.129.16/32";

/// The one IPv6 block that is public.
const PUBLIC_V6: &str = "2000::/3";

/// IPv6 blocks that are not public, within it and without.
const DENIED_V6: &str = "2001::/23 2001:db8::/32 2002::/16 3fff::/20 ::/128 ::1/128 ::/96 ::ffff:0:0:0/96 64:ff9b::/96 \
    64:ff9b:1::/48 100::/64 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8 fd00:ec2::254/128";

/// A block as the numbers of its first and last address.
struct Block {
    v4: bool,
    first: u128,
    last: u128,
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Block {
    fn parse(text: &str) -> Self {
        let (address, prefix) = text.split_once('/').expect("a block");
        let address: IpAddr = address.parse().expect("an address");
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let free = bits - prefix.parse::<u32>().expect("a number");
        let size = 1_u128.checked_shl(free).map_or(u128::MAX, |size| size - 1);
        let first = number(address);
        assert_eq!(first & size, 0, "{text} starts where it says");
        Self { v4: address.is_ipv4(), first, last: first | size }
    }

    fn all(texts: &str) -> Vec<Self> {
        texts.split_whitespace().map(Self::parse).collect()
    }

    fn holds(&self, address: IpAddr) -> bool {
        self.v4 == address.is_ipv4() && (self.first..=self.last).contains(&number(address))
    }

    /// First and last, and the next ones outside.
    fn edges(&self) -> Vec<IpAddr> {
        let end = if self.v4 { u128::from(u32::MAX) } else { u128::MAX };
        let mut numbers = vec![self.first, self.last];
        numbers.extend(self.first.checked_sub(1));
        numbers.extend(self.last.checked_add(1).filter(|next| *next <= end));
        let address = |number: u128| -> IpAddr {
            if self.v4 {
                Ipv4Addr::from_bits(u32::try_from(number).expect("32 bits")).into()
            } else {
                Ipv6Addr::from_bits(number).into()
            }
        };
        numbers.into_iter().map(address).collect()
    }
}

/// The guard's verdict on an address when only public ones are allowed.
fn is_public(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let denied = Block::all(DENIED_V4).into_iter().chain(Block::all(DENIED_V6)).any(|block| block.holds(address));
    !denied && (address.is_ipv4() || Block::parse(PUBLIC_V6).holds(address))
}

pub fn url_of(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("https://{address}/hook"),
        IpAddr::V6(address) => format!("https://[{address}]/hook"),
    }
}

/// A world of these rules, in which many webhooks may be registered.
pub fn world(public: bool, allow: &[&str]) -> World {
    World::with(|wish: &mut Wish| {
        wish.config.egress.public = public;
        wish.config.egress.allow = allow.iter().map(|block| block.parse().expect("a block")).collect();
        wish.config.limits.webhooks_per_account = 10_000;
    })
}

/// Asks the door, and holds it to the answer.
#[track_caller]
pub fn judged(coop: &Client, address: IpAddr, good: bool) {
    let body = json!({ "url": url_of(address), "events": ["*"], "cooperative_id": COOP });
    let answer = coop.post("/webhooks", body);
    if good {
        assert_eq!(answer.status, 201, "{address}: {}", answer.text);
        return;
    }
    assert_eq!(answer.status, 422, "{address}: {}", answer.text);
    assert_eq!(answer.code(422), "URL_NOT_ALLOWED");
    let message = answer.json()["error"]["message"].as_str().expect("a sentence").to_owned();
    assert!(message.contains("its address is not allowed") && message.contains("egress.allow"), "{message}");
}

#[test]
fn each_denied_block_is_denied_to_its_edges_and_no_further() {
    let world = world(true, &[]);
    let coop = world.coop();
    let mut edges: Vec<IpAddr> = Block::all(DENIED_V4).iter().flat_map(Block::edges).collect();
    // The same, mapped into IPv6.
    let mapped = edges.iter().filter_map(|address| match address {
        IpAddr::V4(address) => Some(IpAddr::V6(address.to_ipv6_mapped())),
        IpAddr::V6(_) => None,
    });
    let mapped: Vec<IpAddr> = mapped.collect();
    edges.extend(mapped);
    edges.extend(Block::all(DENIED_V6).iter().chain(&[Block::parse(PUBLIC_V6)]).flat_map(Block::edges));
    edges.extend(
        ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "2a00::1"].map(|text| text.parse::<IpAddr>().expect("one")),
    );
    edges.sort();
    edges.dedup();
    let good = edges.iter().filter(|address| is_public(**address)).count();
    assert!(edges.len() > 180 && good > 50 && edges.len() - good > 80, "{good} of {}", edges.len());
    for address in edges {
        judged(&coop, address, is_public(address));
    }
}

#[test]
fn an_allowed_block_opens_exactly_what_it_covers() {
    let allow = ["10.20.0.0/16", "192.168.7.9/32", "93.184.216.0/24", "fd12:3456::/32", "2001:db8:5::/48"];
    let world = world(false, &allow);
    let coop = world.coop();
    for block in allow.map(Block::parse) {
        for address in block.edges() {
            judged(&coop, address, block.holds(address));
            if let IpAddr::V4(address) = address {
                judged(&coop, address.to_ipv6_mapped().into(), block.holds(address.into()));
            }
        }
    }
    for address in ["8.8.8.8", "2606:4700:4700::1111", "127.0.0.1", "::1", "10.0.0.1"] {
        judged(&coop, address.parse().expect("an address"), false);
    }
}

#[test]
fn an_allowed_private_block_leaves_public_addresses_open_and_other_private_ones_shut() {
    let world = world(true, &["10.20.0.0/16"]);
    let coop = world.coop();
    for (address, good) in [("8.8.8.8", true), ("10.20.255.255", true), ("10.21.0.0", false), ("10.19.255.255", false)]
    {
        judged(&coop, address.parse().expect("an address"), good);
    }
}

const METADATA: [(&str, &str); 6] = [
    ("169.254.169.254", "169.254.169.255"),
    ("169.254.170.2", "169.254.170.3"),
    ("100.100.100.200", "100.100.100.201"),
    ("168.63.129.16", "168.63.129.17"),
    ("192.0.0.192", "192.0.0.193"),
    ("fd00:ec2::254", "fd00:ec2::255"),
];

#[test]
fn metadata_addresses_are_opened_by_their_own_block_only() {
    let ask = |allow: &[&str], own: bool, neighbour: bool| {
        let world = world(false, allow);
        let coop = world.coop();
        for (metadata, beside) in METADATA {
            let metadata: IpAddr = metadata.parse().expect("an address");
            judged(&coop, metadata, own);
            if let IpAddr::V4(metadata) = metadata {
                judged(&coop, metadata.to_ipv6_mapped().into(), own);
                translated(metadata).into_iter().for_each(|address| judged(&coop, address, own));
            }
            judged(&coop, beside.parse().expect("an address"), neighbour);
        }
    };
    ask(&["0.0.0.0/0", "::/0"], false, true);
    let pairs = METADATA.map(|(own, _)| format!("{own}/{}", if own.contains(':') { 127 } else { 31 }));
    ask(&pairs.each_ref().map(String::as_str), false, true);
    let owns = METADATA.map(|(own, _)| format!("{own}/{}", if own.contains(':') { 128 } else { 32 }));
    ask(&owns.each_ref().map(String::as_str), true, false);
}

/// NAT64's well-known form of an IPv4 address.
fn well_known(address: Ipv4Addr) -> IpAddr {
    Ipv6Addr::from_bits(0x64_ff9b << 96 | u128::from(address.to_bits())).into()
}

/// Forms of an IPv4 address in which a translator of NAT64 reads it, and the address to which each belongs.
fn translated(address: Ipv4Addr) -> Vec<IpAddr> {
    let bits = u128::from(address.to_bits());
    vec![well_known(address), Ipv6Addr::from_bits(0x64_ff9b_0001 << 80 | bits).into()]
}

/// Forms of an IPv4 address that name a tunnel.
fn tunnelled(address: Ipv4Addr) -> Vec<IpAddr> {
    let bits = u128::from(address.to_bits());
    let isatap = |network: u128| network | 0x5efe << 32 | bits;
    let forms = [
        0x2002 << 112 | bits << 80,
        bits,
        0xffff_0000_u128 << 32 | bits,
        0x2001 << 112 | bits << 64 | (bits ^ 0xffff_ffff),
        isatap(0xfe80 << 112),
        isatap(0x2a00 << 112),
        isatap(0x2a00 << 112 | 0x0200 << 48),
    ];
    forms.map(|form| Ipv6Addr::from_bits(form).into()).into()
}

#[test]
fn nat64_addresses_are_judged_by_the_ipv4_address_within_and_tunnels_are_shut() {
    let world = world(true, &["10.20.0.0/16"]);
    let coop = world.coop();
    for (inner, good) in [
        ("8.8.8.8", true),
        ("1.1.1.1", true),
        ("10.20.1.2", true),
        ("10.21.0.0", false),
        ("127.0.0.1", false),
        ("192.168.1.1", false),
        ("169.254.169.254", false),
        ("168.63.129.16", false),
        ("0.0.0.0", false),
        ("255.255.255.255", false),
    ] {
        let inner: Ipv4Addr = inner.parse().expect("an address");
        translated(inner).into_iter().for_each(|address| judged(&coop, address, good));
        tunnelled(inner).into_iter().for_each(|address| judged(&coop, address, false));
    }
}

#[test]
fn a_local_use_nat64_address_is_open_only_if_every_length_of_its_prefix_reads_an_open_address() {
    let world = world(true, &[]);
    let coop = world.coop();
    for (address, good) in [
        // 8.8.8.8 by 96 bits; then 10.0.0.1 by 48, by 56 and by 64.
        ("64:ff9b:1::808:808", true),
        ("64:ff9b:1:a00:0:100:808:808", false),
        ("64:ff9b:1:a:0:1:808:808", false),
        ("64:ff9b:1:0:a:0:108:808", false),
        // 48 bits: 8.8.8.8, and the last 32 bits are no address.
        ("64:ff9b:1:808:8:800::", false),
        ("64:ff9b:1:fffe::808:808", false),
    ] {
        judged(&coop, address.parse().expect("an address"), good);
    }
}

#[test]
fn a_network_without_ipv4_opens_its_translator_as_it_likes() {
    let world = world(false, &["64:ff9b:1:fffe::/96", "::/0"]);
    let coop = world.coop();
    for (address, good) in [
        ("64:ff9b:1:fffe::808:808", true),
        ("64:ff9b:1:fffe::a00:1", true),
        ("64:ff9b:1:fffd::808:808", false),
        // Every IPv6 address is no IPv4 address, and the metadata server is opened by itself only.
        ("64:ff9b::a00:1", false),
        ("64:ff9b::808:808", false),
        ("64:ff9b:1:fffe::a9fe:a9fe", false),
        ("2002:a9fe:a9fe::", false),
        ("::a9fe:a9fe", false),
        ("2a00::5efe:a9fe:a9fe", false),
        ("2a00::5efe:a00:1", true),
    ] {
        judged(&coop, address.parse().expect("an address"), good);
    }
}
