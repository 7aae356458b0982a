//! JSON as producers may write it: odd numbers, keys that JavaScript reorders, escapes, white space, deep nesting.

use std::{env, thread};

use ngoma::domain::json::{self, Flaw, Limits};
use proptest::{
    prelude::*,
    sample::select,
    strategy::{BoxedStrategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

/// Deepest nesting and longest string, as in the shipped config.
pub const MAX_DEPTH: usize = 64;

pub fn stringify(text: &str) -> Result<String, Flaw> {
    json::stringify(text, Limits { depth: MAX_DEPTH, string_bytes: 65_536 })
}

/// Numbers that languages print differently.
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "0.0",
    "-0.0",
    "0e0",
    "-0E-0",
    "1.0",
    "450.00",
    "0.10",
    "1e21",
    "1E21",
    "1e+21",
    "1e20",
    "123e18",
    "1E+2",
    "1e-6",
    "1e-7",
    "0.000001",
    "0.0000001",
    "0.30000000000000004",
    "0.1",
    "0.2",
    "5e-324",
    "4.9E-324",
    "2e-324",
    "2.2250738585072014e-308",
    "2.2250738585072011e-308",
    "1.7976931348623157e308",
    "9007199254740991",
    "-9007199254740991",
    "9007199254740993.0",
    "9007199254740992e0",
    "1e-400",
    "100000000000000000000.0",
    "999999999999999900000.5",
    "0.1234567890123456789012345678901234567890",
    "1.00000000000000011102230246251565",
    "4.35",
    "2.675",
    "67.5",
    "-1e-7",
    "123456789.987654321",
];

/// Keys with a meaning of their own somewhere in JavaScript, and the neighbours of the largest array index.
const KEYS: &[&str] = &[
    "",
    "0",
    "1",
    "2",
    "9",
    "10",
    "01",
    "00",
    "-0",
    "-1",
    "+1",
    "1.5",
    "1e3",
    "4294967293",
    "4294967294",
    "4294967295",
    "4294967296",
    "9007199254740991",
    "9007199254740993",
    " 1",
    "1 ",
    "__proto__",
    "constructor",
    "prototype",
    "toString",
    "toJSON",
    "hasOwnProperty",
    "length",
    "valueOf",
    "\\u0030",
    "\\u0031\\u0030",
    "__prot\\u006f__",
    "\\u0000",
    "a",
    "b",
    "A",
    "é",
    "e\u{301}",
    "🦁",
    "\\ud83e\\udd81",
    "\u{ffff}",
    "\u{661}",
];

/// Pieces of strings that must be printed in one way only.
const PIECES: &[&str] = &[
    "\\\"",
    "\\\\",
    "\\/",
    "/",
    "\\b",
    "\\f",
    "\\n",
    "\\r",
    "\\t",
    "\\u0000",
    "\\u0008",
    "\\u000b",
    "\\u001f",
    "\\u001F",
    "\\u0022",
    "\\u005C",
    "\\u007f",
    "\u{7f}",
    "\\u0080",
    "\u{80}",
    "\\u2028",
    "\\u2029",
    "\u{2028}",
    "\u{2029}",
    "\u{feff}",
    "\\uFEFF",
    "\\uffff",
    "\u{10ffff}",
    "\\uD83E\\uDD81",
    "\\udbff\\udfff",
    "\\ud800\\udc00",
    "🦁",
    "é",
    "\\u00e9",
    "</script>",
    "Mbale",
    "'",
    "\u{300}",
    "کافی",
];

const SPACES: &[&str] = &["", "", "", "", " ", "\n", "\t", "\r\n  ", "  "];

/// A JSON text and how many arrays and objects stand within each other in it.
#[derive(Debug, Clone)]
struct Nested {
    text: String,
    depth: usize,
}

/// A number literal that can be kept: no integer beyond 2^53 - 1, no overflow.
pub fn number() -> BoxedStrategy<String> {
    let finite = prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO;
    prop_oneof![
        4 => select(NUMBERS).prop_map(str::to_owned),
        1 => any::<i32>().prop_map(|number| number.to_string()),
        1 => (-(1_i64 << 53) + 1..1_i64 << 53).prop_map(|number| number.to_string()),
        1 => finite.prop_map(|number| format!("{number:e}")),
        1 => finite.prop_map(|number| format!("{number:E}").replace("E-", "E-0").replace("E0", "E+0")),
        2 => any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|number| format!("{number:?}")),
        2 => "-?(0|[1-9][0-9]{0,15})\\.[0-9]{1,30}",
        2 => "-?(0|[1-9][0-9]{0,5})(\\.[0-9]{1,12})?[eE][+-]?[0-9]{1,2}",
        1 => "-?[1-9](\\.[0-9]{1,20})?[eE]-3[0-9]{2}",
    ]
    .boxed()
}

/// A string, quotes included.
pub fn string() -> BoxedStrategy<String> {
    let piece = prop_oneof![
        3 => select(PIECES).prop_map(str::to_owned),
        1 => any::<char>().prop_map(|c| match c {
            '"' | '\\' | '\0'..' ' => format!("\\u{:04X}", u32::from(c)),
            c => c.to_string(),
        }),
        1 => (0_u32..0xD800).prop_map(|code| format!("\\u{code:04x}")),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| format!("\"{}\"", pieces.concat())).boxed()
}

fn key() -> BoxedStrategy<String> {
    prop_oneof![
        4 => select(KEYS).prop_map(|key| format!("\"{key}\"")),
        2 => (0_u32..20).prop_map(|index| format!("\"{index}\"")),
        1 => any::<u32>().prop_map(|index| format!("\"{index}\"")),
        1 => string(),
    ]
    .boxed()
}

fn space() -> impl Strategy<Value = &'static str> {
    select(SPACES)
}

fn array(values: BoxedStrategy<Nested>) -> impl Strategy<Value = Nested> {
    let value = (space(), values, space());
    (space(), prop::collection::vec(value, 0..6)).prop_map(|(empty, values)| {
        let depth = values.iter().map(|(_, value, _)| value.depth).max().unwrap_or(0) + 1;
        let values: Vec<String> =
            values.iter().map(|(before, value, after)| format!("{before}{}{after}", value.text)).collect();
        Nested { text: format!("[{empty}{}]", values.join(",")), depth }
    })
}

fn object(values: BoxedStrategy<Nested>) -> impl Strategy<Value = Nested> {
    let entry = ((space(), key(), space()), (space(), values, space()));
    (space(), prop::collection::vec(entry, 0..8)).prop_map(|(empty, entries)| {
        let depth = entries.iter().map(|(_, (_, value, _))| value.depth).max().unwrap_or(0) + 1;
        let entries: Vec<String> =
            entries.iter().map(|((a, key, b), (c, value, d))| format!("{a}{key}{b}:{c}{}{d}", value.text)).collect();
        Nested { text: format!("{{{empty}{}}}", entries.join(",")), depth }
    })
}

fn value() -> BoxedStrategy<Nested> {
    let words = select(&["true", "false", "null"][..]).prop_map(str::to_owned);
    let leaf = prop_oneof![4 => number(), 3 => string(), 1 => words].prop_map(|text| Nested { text, depth: 0 });
    let nested = leaf.prop_recursive(4, 24, 6, |inner| prop_oneof![array(inner.clone()), object(inner)].boxed());
    // One in eight stands deep, mostly as deep as is allowed.
    let wrapped = (nested.clone(), prop::collection::vec(any::<bool>(), 0..2 * MAX_DEPTH));
    let wrapped = wrapped.prop_map(|(value, levels)| {
        levels.iter().take(MAX_DEPTH - 1 - value.depth).fold(value, |Nested { text, depth }, in_array| {
            let text = if *in_array { format!("[{text} ]") } else { format!("{{\"10\":{text}, \"9\": -0}}") };
            Nested { text, depth: depth + 1 }
        })
    });
    prop_oneof![7 => nested, 1 => wrapped].boxed()
}

/// Any JSON text that can be delivered.
pub fn text() -> BoxedStrategy<String> {
    (space(), value(), space()).prop_map(|(before, value, after)| format!("{before}{}{after}", value.text)).boxed()
}

/// The `data` of an event: an object that can be delivered.
pub fn data() -> BoxedStrategy<String> {
    object(value()).prop_map(|data| data.text).boxed()
}

/// A source of samples: the same ones on every run, and others with another `TEST_SEED`.
pub struct Samples {
    seed: u64,
    runner: TestRunner,
}

impl Samples {
    pub fn new() -> Self {
        let seed: u64 = env::var("TEST_SEED").ok().map_or(53, |seed| seed.parse().expect("TEST_SEED is a number"));
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        Self { seed, runner: TestRunner::new_with_rng(Config::default(), rng) }
    }

    pub fn draw<T: std::fmt::Debug>(&mut self, count: usize, of: &impl Strategy<Value = T>) -> Vec<T> {
        (0..count).map(|_| of.new_tree(&mut self.runner).expect("a sample").current()).collect()
    }
}

impl Drop for Samples {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("these samples come back with TEST_SEED={}", self.seed);
        }
    }
}
