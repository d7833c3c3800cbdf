//! Expressions evaluated here and by the interpreter of the `cel` crate, which is written by
//! others: they agree.

use std::time::{Duration, Instant};

use avouch_audit::cel::{Expression, FUEL, Failure, Scope, Value};
use cel::{Context, Program};
use serde_json::json;

fn claims() -> serde_json::Value {
    json!({
        "sub": "repo:octo-org/octo-repo:ref:refs/heads/main",
        "flag": true, "groups": ["a", "b", "c"],
        "nested": {"inner": "x"},
    })
}

fn ours(text: &str) -> Result<String, String> {
    let expression = Expression::parse(text)?;
    let scope = Scope::default()
        .with("claims", Value::of_json(&claims()))
        .with("n", Value::Int(7));
    let (value, _) = expression.evaluate(&scope, FUEL);
    value
        .map(|value| value.to_string())
        .map_err(|why| why.to_string())
}

fn theirs(text: &str) -> Result<String, String> {
    let program = Program::compile(text).map_err(|error| error.to_string())?;
    let mut context = Context::default();
    context.add_variable("claims", claims()).unwrap();
    context.add_variable("n", 7_i64).unwrap();
    let value = program
        .execute(&context)
        .map_err(|error| error.to_string())?;
    Ok(match value {
        cel::Value::Bool(flag) => flag.to_string(),
        cel::Value::Int(number) => number.to_string(),
        cel::Value::String(text) => Value::Text(text.as_str().into()).to_string(),
        cel::Value::Null => "null".to_owned(),
        other => format!("{other:?}"),
    })
}

#[test]
fn an_interpreter_of_others_says_the_same() {
    for text in [
        "claims.sub == 'repo:octo-org/octo-repo:ref:refs/heads/main'",
        "claims.sub.startsWith('repo:octo-org/')",
        "claims.sub.endsWith('main') && claims.sub.contains('octo-repo')",
        "'a' in claims.groups",
        "'z' in claims.groups",
        "'sub' in claims",
        "n + 3 * 2 - 1",
        "n / 2",
        "n % 4",
        "-n",
        "n > 6 && n <= 7",
        "n == 7.0",
        "n == '7'",
        "n / 0",
        "9223372036854775807 + 1",
        "claims.missing",
        "claims.missing == 'x'",
        "has(claims.missing)",
        "has(claims.nested.inner)",
        "has(claims.absent.inner)",
        "claims.missing == 'x' || true",
        "true || claims.missing == 'x'",
        "false && claims.missing == 'x'",
        "claims.missing == 'x' && false",
        "claims.missing == 'x' || false",
        "!claims.flag",
        "!claims.sub",
        "claims.flag ? 'yes' : 'no'",
        "claims['sub'].size()",
        "size(claims.groups)",
        "claims.groups[1]",
        "claims.groups[9]",
        "claims.groups.all(g, g != 'z')",
        "claims.groups.exists(g, g == 'b')",
        "claims.groups.exists_one(g, g == 'b')",
        "claims.groups.exists(g, claims.missing == g)",
        "claims.groups.exists(g, g == 'b' || claims.missing == g)",
        "claims.groups.filter(g, g > 'a').size()",
        "claims.groups.map(g, g + '!')[2]",
        "[1, 2, 3].all(a, [4, 5].exists(b, a < b))",
        "'ab' < 'b'",
        "'ab' < 1",
        "null == null",
        "claims.nested == claims.nested",
        "string(n) + 'x'",
        "int('12') + 1",
        "unknown",
        "'a' + 1",
    ] {
        match (ours(text), theirs(text)) {
            (Ok(one), Ok(other)) => assert_eq!(one, other, "{text}"),
            (Err(_), Err(_)) => {}
            (one, other) => panic!("{text}: {one:?} here, {other:?} there"),
        }
    }
}

#[test]
fn texts_have_the_functions_of_the_clouds() {
    for (text, expected) in [
        ("claims.sub.extract('repo:{owner}/')", "'octo-org'"),
        ("claims.sub.extract('ref:{ref}')", "'refs/heads/main'"),
        ("claims.sub.extract('environment:{name}')", "''"),
        ("claims.sub.split(':')[1]", "'octo-org/octo-repo'"),
        ("claims.groups.join(',')", "'a,b,c'"),
        ("'Octo'.lowerAscii()", "'octo'"),
        ("'octo-org'.replace('-', '_')", "'octo_org'"),
        ("'octo-org'.indexOf('-')", "4"),
        ("'octo-org'.substring(5)", "'org'"),
        ("'xrepo:o/r-evil'.matches('repo:o/r')", "true"),
        ("'repo:o/r'.matches('^repo:o/r$')", "true"),
        ("matches('a', '[')", "a regular expression"),
    ] {
        let value = ours(text).unwrap_or_else(|why| why);
        assert!(value.starts_with(expected), "{text}: {value}");
    }
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a bound on time is what is tested"
)]
fn hostile_62_nothing_takes_long() {
    let list = format!("[{}]", vec!["1"; 300].join(","));
    let began = Instant::now();
    let bombs = [
        format!("{list}.all(a, {list}.all(b, {list}.all(c, true)))"),
        format!("{list}.map(a, {list}.map(b, {list}.map(c, {list}))).size()"),
        "'a'.matches('(a*)*(b*)*(c{0,1000}){0,1000}')".to_owned(),
        format!("'{}'.matches('(x+x+)+y')", "x".repeat(4_000)),
        "['aaaaaaaaaaaaaaaa'].map(a, a+a).map(a, a+a).map(a, a+a+a+a+a+a+a+a).size()".to_owned(),
        "'a'.replace('', 'aaaaaaaaaaaaaaaa').replace('', 'aaaaaaaaaaaaaaaaaa').replace('', 'aaaaaaaaaa')\
         .replace('', 'aaaaaaaaaaaaaaaaaaa').replace('', 'aaaaaaaaaaaaaaaaaaa').size()".to_owned(),
    ];
    for bomb in &bombs {
        let _ = ours(bomb);
    }
    let (value, spent) = Expression::parse(&bombs[0])
        .unwrap()
        .evaluate(&Scope::default(), FUEL);
    assert_eq!(value, Err(Failure::OutOfFuel));
    assert_eq!(spent, FUEL);
    // Texts that a reader may stumble over.
    for text in [
        "[".repeat(5_000),
        "(".repeat(5_000),
        "{".repeat(31),
        "!".repeat(4_000),
        "-".repeat(4_000),
        "a.".repeat(3_000),
        "a[".repeat(31),
        "a?b:".repeat(800),
        "1+".repeat(3_900) + "1",
        "a||".repeat(1_900) + "a",
        "has(".repeat(31),
        "'".repeat(3_001),
        "\u{0}\u{202e}".repeat(1_000),
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]".to_owned(),
        "x.all(a,".repeat(30),
        "0x".repeat(1_000),
        "/*".repeat(1_000),
    ] {
        let _ = ours(&text);
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn hostile_62_what_is_shared_is_paid_for_each_time_it_is_compared() {
    // Eight of the last, forty times over: a small value, and 8^40 comparisons.
    let grown = "[1]".to_owned() + &".map(v, [v, v, v, v, v, v, v, v])".repeat(40);
    let text = format!("[{grown}].all(x, x == x || x in [x])");
    let (value, _) = Expression::parse(&text)
        .unwrap()
        .evaluate(&Scope::default(), FUEL);
    assert_eq!(value, Err(Failure::OutOfFuel));
}

#[test]
fn hostile_62_preparing_a_regular_expression_is_paid_for() {
    let numbers: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    let evaluated = |pattern: &str| {
        let text = format!("[{}].all(n, 'xxx'.matches({pattern}))", numbers.join(","));
        let expression = Expression::parse(&text).unwrap();
        expression.evaluate(&Scope::default(), FUEL).0
    };
    // One and the same is prepared once.
    let once = evaluated("'^(x{0,20}y?){0,20}$'");
    assert_eq!(once, Ok(Value::Bool(true)));
    let each = evaluated("'^(x{0,20}y?){0,20}|' + string(n)");
    assert_eq!(each, Err(Failure::OutOfFuel));
}

#[test]
fn an_expression_is_written_as_it_was_read() {
    for text in [
        "claims.a == 'x' && (claims.b in ['y', 'z'] || !has(claims.c))",
        "claims.sub.startsWith('repo:o/')",
        "claims['a b'] == 'x'",
        "claims.exp - claims.nbf <= 86400",
        "claims.a ? 'x' : 'y'",
        "['a', 'b'].exists(one, claims.c == one)",
        "claims.groups.all(one, !one.startsWith('system:'))",
        "claims.groups.map(one, 'x:' + one)",
        "claims.groups.filter(one, one != 'x')",
    ] {
        let written = Expression::parse(text).unwrap().to_string();
        assert_eq!(
            Expression::parse(&written).unwrap(),
            Expression::parse(text).unwrap(),
            "{written}"
        );
    }
}

/// What Kubernetes documents for claims that may be missing.
#[test]
fn members_that_may_be_missing_are_read_with_what_stands_in_for_them() {
    for (text, value) in [
        ("claims.?flag.orValue(false)", "true"),
        ("claims.?missing.orValue(false)", "false"),
        ("claims.?missing.orValue('x') == 'x'", "true"),
        ("claims[?'flag'].orValue(false)", "true"),
        ("claims.?nested.?inner.orValue('y')", "'x'"),
        ("claims.?nested.inner.orValue('y')", "'x'"),
        ("claims.?nothing.inner.orValue('y')", "'y'"),
        ("claims.?nested.?other.orValue('y')", "'y'"),
        ("claims.?flag.hasValue()", "true"),
        ("claims.?nothing.?inner.hasValue()", "false"),
        ("claims.?sub.value().startsWith('repo:')", "true"),
    ] {
        assert_eq!(ours(text).as_deref(), Ok(value), "{text}");
    }
    for text in [
        "claims.?missing.value()",
        "claims.missing.?inner.orValue('y')",
        "claims.?flag",
        "claims.?flag == true",
        "[?claims.?flag]",
        "{?'a': claims.?flag}",
        "claims.?flag.optMap(one, one)",
        "claims.?sub.startsWith('repo:')",
        "claims.?a.?a.?a.?a.?a.?a.?a.?a.?a.orValue(1)",
    ] {
        assert!(ours(text).is_err(), "{text}");
    }
}
