//! Generated texts for every parser of input. JSON has stories of its own.

use std::{
    fs, io,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use ipnet::{Ipv4Net, Ipv6Net};
use ngoma::{
    config::Config,
    domain::{
        account::check_email,
        delivery::retry_after,
        endpoint::{EventFilter, TargetUrl},
        ids::{DeliveryId, EndpointId, EventId, RequestId, TokenId},
        timestamp::Timestamp,
        token::BearerToken,
    },
    engine::{Guard, LookUp},
};
use proptest::{prelude::*, sample::select};

use crate::support::world::{START, defaults};

const CATALOGUE: [&str; 5] = ["farmer.registered", "batch.delivered", "batch.graded", "dds.filed", "dds.generated"];

/// Blocks that no delivery may reach, by the registries of special addresses.
const DENIED: [&str; 22] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "100.100.100.200/32",
    "192.0.0.192/32",
];

/// The IPv6 blocks within the one public block.
const DENIED_V6: [&str; 4] = ["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"];
const PUBLIC_V6: &str = "2000::/3";

/// Blocks whose edges are worth a look too.
const SPECIAL_V6: [&str; 8] =
    [PUBLIC_V6, "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "fc00::/7", "fe80::/10", "ff00::/8", "fd00:ec2::254/128"];

/// How an IPv6 address holds an IPv4 one: the first address of the block, the bits after the held one, and whether
/// those of the held one are turned around.
const HOLDERS: [(&str, u32, bool); 8] = [
    ("2002::", 80, false),
    ("64:ff9b::", 0, false),
    ("64:ff9b:1::", 0, false),
    ("2001::", 64, false),
    ("2001::", 0, true),
    ("::ffff:0:0", 0, false),
    ("::", 0, false),
    ("2a00::5efe:0:0", 0, false),
];

fn few() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

fn many() -> ProptestConfig {
    ProptestConfig { cases: 4096, ..few() }
}

/// Pieces of URLs, put together at random.
fn url() -> impl Strategy<Value = String> {
    let scheme = select(&["http", "https", "HTTPS", "htt\tps", "ftp", "file", "", " https", "javascript"][..]);
    let colon = select(&["://", ":", ":/", ":///", ":\\\\", "//", ""][..]);
    let user = select(&["", "", "", "", "user@", "user:pass@", "@", ":@", "%00@", "evil.example\\@"][..]);
    let host = prop_oneof![
        select(&["x.example", "127.1", "0x7f.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "%31%32%37.0.0.1"][..])
            .prop_map(str::to_owned),
        select(&["", ".", "..", "x..y", "[", "[::1", "[::1%25eth0]", "１２７.0.0.1", "xn--", "bücher.example"][..])
            .prop_map(str::to_owned),
        any::<u32>().prop_map(|number| number.to_string()),
        "[a-zA-Z0-9.-]{1,80}",
        "\\PC{1,12}",
    ];
    let port = prop_oneof![
        select(&["", "", ":", ":0", ":443", ":65536", ":-1", ":080"][..]).prop_map(str::to_owned),
        any::<u16>().prop_map(|port| format!(":{port}")),
    ];
    let rest = prop_oneof![
        select(&["", "/", "/hook", "?", "#", "?a=b#c", "/../..", "/%2e%2e/", "/\u{0}", "/\r\nx: y"][..])
            .prop_map(str::to_owned),
        "/\\PC{0,40}",
    ];
    (scheme, colon, user, host, port, rest)
        .prop_map(|(scheme, colon, user, host, port, rest)| format!("{scheme}{colon}{user}{host}{port}{rest}"))
}

fn keeps_its_target(text: &str) -> Result<(), TestCaseError> {
    let Ok(target) = TargetUrl::parse(text, 2048) else { return Ok(()) };
    let canonical = target.as_str().to_owned();
    prop_assert!(text.len() <= 2048);
    prop_assert!(canonical.starts_with("http://") || canonical.starts_with("https://"), "{canonical}");
    prop_assert!(canonical.is_ascii() && !canonical.contains(|c: char| c.is_ascii_control() || c == ' ' || c == '#'));
    let authority = canonical.split('/').nth(2).unwrap_or_default();
    prop_assert!(!authority.is_empty() && !authority.contains(['@', '\\']), "{canonical}");
    prop_assert!(target.port() != 0);
    prop_assert_eq!(target.given(), text);
    let again = TargetUrl::parse(&canonical, usize::MAX).map_err(|refused| TestCaseError::fail(refused.to_string()))?;
    prop_assert_eq!((again.as_str(), again.given()), (canonical.as_str(), canonical.as_str()));
    let stored = TargetUrl::from_stored(&canonical).map_err(|refused| TestCaseError::fail(refused.to_string()))?;
    prop_assert_eq!(stored.as_given(Some(text)), target);
    Ok(())
}

/// An address, near the edge of a denied block more often than not.
fn address() -> impl Strategy<Value = Ipv4Addr> {
    let blocks: Vec<Ipv4Net> = DENIED.iter().map(|block| block.parse().expect("a block")).collect();
    let edge = (select(blocks), any::<bool>(), -2_i32..3).prop_map(|(block, last, by)| {
        let edge = if last { block.broadcast() } else { block.network() };
        Ipv4Addr::from(u32::from(edge).wrapping_add_signed(by))
    });
    prop_oneof![3 => edge, 1 => any::<u32>().prop_map(Ipv4Addr::from)]
}

fn is_denied(address: Ipv4Addr) -> bool {
    DENIED.iter().any(|block| block.parse::<Ipv4Net>().expect("a block").contains(&address))
}

/// An IPv6 address: near an edge, one that holds an IPv4 address, or any.
fn address_v6() -> impl Strategy<Value = Ipv6Addr> {
    let blocks = DENIED_V6.iter().chain(&SPECIAL_V6).map(|block| block.parse().expect("a block"));
    let edge = (select(blocks.collect::<Vec<Ipv6Net>>()), any::<bool>(), -2_i128..3).prop_map(|(block, last, by)| {
        let edge = if last { block.broadcast() } else { block.network() };
        Ipv6Addr::from(u128::from(edge).wrapping_add_signed(by))
    });
    let holder = (select(&HOLDERS[..]), address(), any::<u128>()).prop_map(|((first, after, turned), held, rest)| {
        let held = if turned { !u32::from(held) } else { u32::from(held) };
        let first = u128::from(first.parse::<Ipv6Addr>().expect("an address"));
        Ipv6Addr::from(first | u128::from(held) << after | rest & ((1 << after) - 1))
    });
    prop_oneof![2 => edge, 4 => holder, 1 => any::<u128>().prop_map(Ipv6Addr::from)]
}

fn is_denied_v6(address: Ipv6Addr) -> bool {
    let within = |block: &str| block.parse::<Ipv6Net>().expect("a block").contains(&address);
    let octets = address.octets();
    let held = |places: [usize; 4]| Ipv4Addr::from(places.map(|place| octets[place]));
    let last = held([12, 13, 14, 15]);
    if within("64:ff9b::/96") {
        return is_denied(last);
    }
    if within("64:ff9b:1::/48") {
        let shorter = [[6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12]].map(held);
        return is_denied(last) || shorter.into_iter().any(|held| held.octets()[0] != 0 && is_denied(held));
    }
    let tunnel = matches!(octets[8..12], [0 | 2, 0, 0x5e, 0xfe]);
    let denied = !within(PUBLIC_V6) || tunnel || DENIED_V6.into_iter().any(within);
    address.to_ipv4_mapped().map_or(denied, is_denied)
}

fn spellings_v6(address: Ipv6Addr) -> Vec<String> {
    let full: Vec<String> = address.segments().map(|part| format!("{part:04X}")).to_vec();
    let [.., a, b, c, d] = address.octets();
    vec![format!("[{address}]"), format!("[{}]", full.join(":")), format!("[{}:{a}.{b}.{c}.{d}]", full[..6].join(":"))]
}

/// The spellings of an address that every parser reads in the same way.
fn plain_spellings(address: Ipv4Addr) -> Vec<String> {
    let number = u32::from(address);
    vec![
        address.to_string(),
        format!("[::ffff:{address}]"),
        format!("[::ffff:{:x}:{:x}]", number >> 16, number & 0xFFFF),
    ]
}

/// Other spellings, which URL parsers or resolvers understand.
fn odd_spellings(address: Ipv4Addr) -> Vec<String> {
    let number = u32::from(address);
    let [a, b, c, d] = address.octets();
    vec![
        number.to_string(),
        format!("{number:#x}"),
        format!("0{number:o}"),
        format!("{a}.{}", number & 0x00FF_FFFF),
        format!("{a:#x}.0{b:o}.{c}.{d:#x}"),
        format!("{a}.{b}.{}", number & 0xFFFF),
        format!("{address}."),
        address.to_string().replace('.', "%2e"),
        address.to_string().replace('1', "１").replace('.', "。"),
    ]
}

fn guard() -> Guard {
    let mut egress = defaults().egress;
    egress.allow_http = true;
    let nobody: LookUp = Arc::new(|host, _| Err(io::Error::other(format!("a look-up of {host}"))));
    Guard::new(
        &egress,
        "127.0.0.1:8080".parse().expect("an address"),
        &nobody,
        std::sync::Arc::new(ngoma::clock::SystemClock),
    )
    .expect("a guard")
}

fn is_judged(guard: &Guard, host: &str, denied: bool) -> Result<(), TestCaseError> {
    let target = TargetUrl::parse(&format!("http://{host}:81/"), 2048);
    let judged = target.and_then(|target| guard.vet(&target).map_err(|blocked| blocked.for_operator()));
    prop_assert_eq!(judged.is_err(), denied, "{}: {:?}", host, judged);
    Ok(())
}

/// Ids that a text may be.
fn id() -> impl Strategy<Value = String> {
    let prefix = select(&["evt_", "dlv_", "tok_", "req_", "wh_", "whk_", "", "EVT_", " dlv_"][..]);
    let digits = prop_oneof!["[0-7][0-9A-HJKMNP-TV-Z]{25}", "[0-9A-Za-z]{26}", "[0-9A-Z]{24,28}", "\\PC{0,30}"];
    (prefix, digits).prop_map(|(prefix, digits)| format!("{prefix}{digits}"))
}

/// A line of a config file, and whether its key is known.
fn setting() -> impl Strategy<Value = String> {
    let defaults: Vec<String> = ngoma::config::DEFAULTS.lines().map(str::to_owned).collect();
    let sections: Vec<String> = defaults.iter().filter(|line| line.starts_with('[')).cloned().collect();
    let keys: Vec<String> =
        defaults.iter().filter_map(|line| line.split_once(" = ")).map(|(key, _)| key.to_owned()).collect();
    let value = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:?}")),
        "[0-9]{1,25}(ns|us|ms|s|m|h|d|w|month|y|parsec)?".prop_map(|text| format!("\"{text}\"")),
        "[a-z0-9:./\\[\\]]{0,20}".prop_map(|text| format!("\"{text}\"")),
        select(&["true", "[]", "{}", "[[]]", "[\"1s\"]", "[\"10.0.0.0/8\"]", "2026-04-20T11:55:00Z", "\"\"", ""][..])
            .prop_map(str::to_owned),
    ];
    let line = (select(keys), value).prop_map(|(key, value)| format!("{key} = {value}"));
    prop_oneof![2 => select(sections), 5 => line, 1 => "\\PC{0,20}"]
}

fn load(text: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("some.toml");
    fs::write(&file, text).expect("written");
    Config::load(Some(&file)).map_err(|error| error.to_string())
}

proptest! {
    #![proptest_config(many())]

    #[test]
    fn a_target_is_taken_in_its_canonical_text_or_not_at_all(text in prop_oneof![4 => url().boxed(), 1 => "\\PC{0,60}".boxed()]) {
        keeps_its_target(&text)?;
    }

    #[test]
    fn an_id_is_taken_only_as_it_is_printed(text in id(), bytes in any::<[u8; 16]>()) {
        for printed in [DeliveryId::parse(&text).map(|id| id.to_string()), EventId::parse(&text).map(|id| id.to_string()),
            TokenId::parse(&text).map(|id| id.to_string()), RequestId::parse(&text).map(|id| id.to_string()),
            EndpointId::from_wire("wh_", &text).map(|id| id.on_wire("wh_")),
            EndpointId::from_wire("whk_", &text).map(|id| id.on_wire("whk_"))].into_iter().flatten() {
            prop_assert_eq!(&printed, &text);
        }
        let id = DeliveryId::from_bytes(bytes);
        prop_assert_eq!(DeliveryId::parse(&id.to_string()), Some(id));
        prop_assert_eq!(id.to_bytes(), bytes);
        let id = EndpointId::from_bytes(bytes);
        prop_assert_eq!(EndpointId::from_wire("wh_", &id.on_wire("wh_")), Some(id));
        prop_assert_eq!(EndpointId::from_wire("whk_", &id.on_wire("wh_")), None);
    }

    #[test]
    fn a_token_is_taken_only_as_it_was_made(bytes in any::<[u8; 32]>(), place in 0..53_usize, typo in any::<char>(), text in "(ngm_)?[0-9A-Za-z]{0,60}|\\PC{0,60}") {
        let token = BearerToken::from_random(&bytes);
        let read = BearerToken::parse(token.expose()).expect("it is one");
        prop_assert_eq!(read.hash(), token.hash());
        let mut typed: Vec<char> = token.expose().chars().collect();
        let was = std::mem::replace(&mut typed[place], typo);
        prop_assert_eq!(BearerToken::parse(&typed.iter().collect::<String>()).is_some(), was == typo);
        prop_assert!(BearerToken::parse(&text).is_none(), "a checksum by chance: one in four thousand million");
    }

    #[test]
    fn a_filter_wants_what_its_entries_say_and_is_stored_as_it_is(
        entries in prop::collection::vec(prop_oneof![
            3 => select(&CATALOGUE[..]).prop_map(str::to_owned),
            2 => select(&["*", "batch.*", "dds.*", "farmer.*", "loan.*", "batch*", "b.*", ".*", "**", "", "batch.", "a b"][..]).prop_map(str::to_owned),
            1 => "[a-z.* ]{0,12}",
        ], 0..6),
    ) {
        let covers = |entry: &str, kind: &str| entry == "*" || entry == kind || entry.strip_suffix(".*").is_some_and(|head| kind.split_once('.').is_some_and(|(first, _)| first == head));
        let usable = entries.len() <= 4 && !entries.is_empty()
            && entries.iter().all(|entry| CATALOGUE.iter().any(|kind| covers(entry, kind)));
        let parsed = EventFilter::parse(entries.clone(), CATALOGUE.into_iter(), 4);
        prop_assert_eq!(parsed.is_ok(), usable, "{:?}", entries);
        if let Ok(filter) = parsed {
            for kind in CATALOGUE {
                prop_assert_eq!(filter.wants(kind), entries.iter().any(|entry| covers(entry, kind)));
            }
            prop_assert_eq!(EventFilter::from_stored(&filter.to_string()), filter);
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_never_trouble(text in "\\PC{0,40}|[0-9]{1,30}|[-+]?[0-9.]{1,6}(e[0-9])?", seconds in any::<u64>(), ahead in -100_000_i64..100_000) {
        let wait = retry_after(&text, START);
        let digits = !text.trim().is_empty() && text.trim().bytes().all(|byte| byte.is_ascii_digit());
        prop_assert!(!digits || wait.is_some());
        let is_decimal = text.trim().split_once('.').is_some_and(|(whole, fraction)| {
            [whole, fraction].iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
        });
        prop_assert!(digits || is_decimal || wait.is_none() || text.contains(' '), "'{text}' is {wait:?}");
        prop_assert!(!is_decimal || wait.is_some(), "'{text}'");
        // Every accepted duration can be waited for.
        let _ = START + wait.unwrap_or_default();
        prop_assert_eq!(retry_after(&format!(" {seconds} "), START), Some(Duration::from_secs(seconds)));
        prop_assert_eq!(retry_after(&format!("{seconds}.00"), START), Some(Duration::from_secs(seconds)));
        prop_assert_eq!(retry_after(&format!("{seconds}.01"), START), Some(Duration::from_secs(seconds.saturating_add(1))));
        let date = time::OffsetDateTime::from_unix_timestamp(START.unix_seconds() + ahead).expect("a date");
        let (day, month) = (date.weekday().to_string(), date.month().to_string());
        let text = format!("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", &day[..3], date.day(), &month[..3], date.year(), date.hour(), date.minute(), date.second());
        let expected = Duration::from_secs(u64::try_from(ahead).unwrap_or(0));
        prop_assert_eq!(retry_after(&text, Timestamp::from_millis(START.unix_seconds() * 1000)), Some(expected), "{}", text);
    }
}

proptest! {
    #![proptest_config(few())]

    #[test]
    fn an_address_is_judged_alike_in_every_spelling(addresses in prop::collection::vec(address(), 20)) {
        let guard = guard();
        for address in addresses {
            for host in plain_spellings(address) {
                is_judged(&guard, &host, is_denied(address))?;
            }
            for host in odd_spellings(address) {
                is_judged(&guard, &host, true)?;
            }
        }
    }

    #[test]
    fn an_ipv6_address_is_judged_alike_in_every_spelling_and_by_the_ipv4_address_it_embeds(addresses in prop::collection::vec(address_v6(), 20)) {
        let guard = guard();
        for address in addresses {
            for host in spellings_v6(address) {
                is_judged(&guard, &host, is_denied_v6(address))?;
            }
        }
    }

    #[test]
    fn a_config_is_read_or_refused_with_a_sentence(lines in prop::collection::vec(setting(), 0..8)) {
        if let Err(sentence) = load(&lines.join("\n")) {
            prop_assert!(sentence.len() > 10, "{sentence}");
        }
    }

    #[test]
    fn an_unknown_key_is_refused_by_name(section in select(&["server", "limits", "storage", "delivery", "egress", "asg", "asilichain", "log"][..]), key in "zz[a-z_]{1,10}") {
        let refused = load(&format!("[{section}]\n{key} = 1")).expect_err("it is unknown");
        prop_assert!(refused.contains(&key) && refused.contains("some.toml"), "{refused}");
        let refused = load(&format!("[{key}]\nx = 1")).expect_err("it is unknown");
        prop_assert!(refused.contains(&key), "{refused}");
    }
}

#[test]
fn an_alert_address_that_is_taken_is_one_that_mail_can_be_sent_to() {
    let label = "l".repeat(63);
    for taken in
        ["ops@coop.example", "a.b+c@localhost", "o'neil_x@a-b.c", &format!("{}@{label}.example", "n".repeat(64))]
    {
        assert_eq!(check_email(taken), Ok(()), "{taken}");
        assert!(taken.parse::<lettre::Address>().is_ok(), "{taken}");
    }
    let long = [
        format!("{}@coop.example", "n".repeat(65)),
        format!("a@{label}l.example"),
        format!("a@{}", [&*label; 4].join(".")),
    ];
    for refused in [
        "",
        "@",
        "a",
        "a@",
        "@b",
        "a@b@c",
        "ops..x@coop.example",
        "ops@coop..example",
        ".a@b",
        "a.@b",
        "a@.b",
        "a@b.",
        "a@-b",
        "a@b-",
        "a b@c",
        "a@b c",
        "a@b\r\nBcc: c@d",
        "\"a b\"@c",
        "a,b@c",
        "<a@b>",
        "jos\u{e9}@b",
        "a@b_c",
    ]
    .into_iter()
    .chain(long.iter().map(String::as_str))
    {
        assert!(check_email(refused).is_err(), "{refused}");
    }
    proptest!(|(text in "[a-z.!#'@\\-_+ \"0-9]{1,20}(@[a-z.\\-0-9]{1,20})?")| {
        prop_assert!(check_email(&text).is_err() || text.parse::<lettre::Address>().is_ok(), "{}", text);
    });
}
