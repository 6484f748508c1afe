use proptest::prelude::*;

use super::*;
use crate::limits::{SQL_BYTES_MAX, SQL_DEPTH_MAX};

/// What became of a case, in the letters of `tests/Oracle.java`: true, false, unknown, error, does not compile.
fn answer(expression: &str, pairs: &str) -> &'static str {
    let mut text = String::new();
    for (name, value) in pairs.split(';').filter_map(|pair| pair.split_once('=')) {
        properties::push(&mut text, name, value);
    }
    match Sql::parse(expression).map(|sql| sql.truth(&text)) {
        Ok(Ok(Some(true))) => "T",
        Ok(Ok(Some(false))) => "F",
        Ok(Ok(None)) => "N",
        Ok(Err(_)) => "E",
        Err(_) => "C",
    }
}

#[track_caller]
fn check_answers(cases: &str) {
    let mut wrong = Vec::new();
    for line in cases.lines().filter(|line| !line.starts_with("//")) {
        let mut columns = line.split('\t');
        let (Some(wanted), Some(expression), Some(pairs)) = (columns.next(), columns.next(), columns.next()) else {
            panic!("{line:?} is no case");
        };
        let got = answer(&expression.replace("\\n", "\n").replace("\\t", "\t"), pairs);
        if got != wanted {
            wrong.push(format!("{got} instead of {line}"));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong[..wrong.len().min(40)].join("\n"));
}

/// More of them: `tests/cases.py`, `tests/Oracle.java`, and `SQL92_CASES=file cargo test -p broker sql92`.
#[test]
fn sql92_answers_are_those_of_java() {
    check_answers(include_str!("tests/sql92.txt"));
    if let Ok(path) = std::env::var("SQL92_CASES") {
        check_answers(&std::fs::read_to_string(path).unwrap());
    }
}

/// The rules one by one; Java's answers too, as `tests/Oracle.java` gave them.
#[test]
fn every_rule_has_its_case() {
    check_answers(include_str!("tests/rules.txt"));
}

#[track_caller]
fn check_error(expression: &str, position: usize, reason: &str) {
    let error = Sql::parse(expression).unwrap_err();
    assert_eq!(error.position, position, "{error}");
    assert!(error.reason.contains(reason), "{error}");
}

#[test]
fn errors_name_the_place_and_what_was_expected() {
    check_error("", 1, "found the end");
    check_error("n >", 4, "a property, a number");
    check_error("n > 5 AND", 10, "found the end");
    check_error("a = '日本' AND b ! 5", 16, "not equal is <>");
    check_error("a = 'x", 5, "no closing quote");
    check_error("a = 1 /* x", 7, "no end");
    check_error("(a = 1", 7, ") expected, found the end");
    check_error("a IN 'x'", 6, "( expected, found \"'x'\"");
    check_error("a IN ('x' 'y')", 11, ", or ) expected");
    check_error("a IN (5)", 7, "a text in single quotes expected, found \"5\"");
    check_error("5 IN ('x')", 1, "a property on its left");
    check_error("a IS 5", 6, "NULL or NOT NULL expected");
    check_error("a = 1 AND b NOT 5", 17, "IN, BETWEEN, CONTAINS");
    check_error("a > 'x'", 5, "only properties and numbers");
    check_error("NOT a > 1", 1, "only properties and numbers");
    check_error("a BETWEEN 5 AND 1", 11, "greater than the upper one");
    check_error("a BETWEEN 5 OR 1", 13, "AND expected, found \"OR\"");
    check_error("a = NULL", 5, "write IS NULL");
    check_error("TRUE = 5", 8, "cannot be compared");
    check_error("a = 1 OR 5", 10, "a condition or a property");
    check_error("a = 9223372036854775808", 5, "64 bits");
    check_error("a = 0.0", 5, "zero");
}

#[test]
fn depth_and_length_are_bounded_and_a_bomb_is_an_error() {
    let bombs = [("(", "a"), ("NOT ", "a"), ("-", "a"), ("+", "a"), ("a = (", "b"), ("NOT (a OR ", "b")];
    for (layer, core) in bombs {
        let bomb = format!("{}{core}", layer.repeat(SQL_BYTES_MAX / layer.len() - 1));
        assert!(Sql::parse(&bomb).unwrap_err().reason.contains("levels"), "{layer}");
    }
    for tail in [" IS NULL", " = a", " CONTAINS 'x'", " IS NOT NULL"] {
        let bomb = format!("a{}", tail.repeat((SQL_BYTES_MAX - 1) / tail.len()));
        assert!(Sql::parse(&bomb).unwrap_err().reason.contains("levels"), "{tail}");
    }
    let deep = format!("{}a = 1{}", "(".repeat(SQL_DEPTH_MAX - 1), ")".repeat(SQL_DEPTH_MAX - 1));
    assert!(Sql::parse(&deep).unwrap().matches("a\u{1}1"));
    let deep = format!("{}a IS NULL", "NOT ".repeat(SQL_DEPTH_MAX - 2));
    assert!(Sql::parse(&deep).is_ok());
    assert!(Sql::parse(&"a".repeat(SQL_BYTES_MAX + 1)).unwrap_err().reason.contains("bytes"));
    // A chain is one level however long it is.
    let long = vec!["a = 1"; SQL_BYTES_MAX / 9].join(" OR ");
    assert!(Sql::parse(&long).unwrap().matches("a\u{1}1"));
    let names = (0..1000).map(|name| format!("p{name}")).collect::<Vec<_>>().join(" OR ");
    assert!(Sql::parse(&names).unwrap_err().reason.contains("different properties"));
}

#[test]
fn more_names_than_fit_in_place_and_double_ones() {
    let names = |count: usize| (0..count).map(|name| format!("p{name} = {name}")).collect::<Vec<_>>().join(" AND ");
    let mut text = String::new();
    (0..40).for_each(|name| properties::push(&mut text, &format!("p{name}"), &name.to_string()));
    for count in [1, 15, 16, 17, 40] {
        assert!(Sql::parse(&names(count)).unwrap().matches(&text));
    }
    assert!(Sql::parse("a = 2").unwrap().matches("a\u{1}1\u{2}a\u{1}2"));
}

#[test]
fn filters_are_compiled_once_and_forgotten_when_there_are_too_many() {
    let filters = Filters::default();
    let first = filters.sql("a = 1").unwrap();
    assert!(Arc::ptr_eq(&first, &filters.sql("a = 1").unwrap()));
    assert!(filters.sql("a =").is_err());
    for number in 0..10 * FILTERS_KEPT {
        filters.sql(&format!("a = {number}")).unwrap();
        assert!(filters.0.lock().by_text.len() <= FILTERS_KEPT);
    }
    let long = |number: usize| format!("a = {number} OR {}", vec!["b = 1"; SQL_BYTES_MAX / 10].join(" OR "));
    for number in 0..100 {
        filters.sql(&long(number)).unwrap();
        assert!(filters.0.lock().bytes <= FILTERS_BYTES_MAX);
    }
}

#[test]
fn tags_are_compared_by_hash() {
    assert!(matches!(Filter::tags("*"), Filter::All));
    let filter = Filter::tags("a || b");
    assert!(filter.may_match(97) && filter.may_match(98) && !filter.may_match(99));
}

proptest! {
    #[test]
    fn random_text_never_panics(text in "\\PC{0,60}", words in proptest::collection::vec(0usize..24, 0..40), values in "\\PC{0,60}") {
        const WORDS: [&str; 24] = [
            "a", "b", "NOT", "AND", "OR", "(", ")", "=", "<>", "<", ">=", "IS", "NULL", "BETWEEN", "IN", ",", "'x'", "5",
            "5.5", "-", "+", "CONTAINS", "--", "TRUE",
        ];
        let words = words.iter().map(|word| WORDS[*word]).collect::<Vec<_>>().join(" ");
        for text in [&text, &words] {
            match Sql::parse(text) {
                Ok(sql) => drop(sql.matches(&values)),
                Err(error) => prop_assert!(error.position <= text.chars().count() + 1),
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Sql::parse(&String::from_utf8_lossy(&bytes)).map(|sql| sql.matches("a\u{1}1"));
    }
}
