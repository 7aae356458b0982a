//! What `JSON.stringify` does to a payload, Ngoma does beforehand, so that nothing changes when a receiver does it.

use ngoma::domain::json::stringify;

#[test]
fn what_is_not_json_is_refused() {
    let texts = [
        "",
        " ",
        "01",
        "-01",
        "1.",
        ".5",
        "-",
        "-.5",
        "+1",
        "1e",
        "1e+",
        "1.e5",
        "0x10",
        "--1",
        "1-1",
        "Infinity",
        "NaN",
        "tru",
        "nulll",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[",
        "]",
        "{",
        "{\"a\":1,}",
        "{,}",
        "{\"a\"}",
        "{\"a\" 1}",
        "{a:1}",
        "{1:1}",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12é4\"",
        "\"\\u+123\"",
        "\"\n\"",
        "\"\u{0}\"",
        "\"\u{1f}\"",
        "'a'",
        "1 1",
        "\u{feff}1",
        "\u{a0}1",
        "[1]]",
    ];
    for text in texts {
        let flaw = stringify(text).expect_err(text).to_string();
        assert!(flaw.contains("is not JSON"), "{text}: {flaw}");
    }
}
