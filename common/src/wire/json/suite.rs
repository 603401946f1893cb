//! What a JSON reader must accept, must refuse, and what this one has decided where the RFC leaves it open.
//!
//! The tables follow the classes of the well-known test suites: structure, strings, numbers, objects, encodings, depth. Every text runs
//! whole, byte by byte, cut short at every byte, and with trailing bytes; and through `value` as through `skip`, which must agree.

use std::io::{self, Read};
use std::mem::discriminant;

use super::JsonErrorKind::{self, *};
use super::Number::{Negative, Unsigned};
use super::{JsonError, Reader, Value, parse};
use crate::limits::{JSON_DEPTH, JSON_KEY_BYTES, JSON_KEYS, JSON_STRING_BYTES, JSON_VALUE_BYTES};

/// Hands out one byte at a time, interrupted before each.
struct Drip<'a> {
    rest: &'a [u8],
    interrupted: bool,
}

impl Read for Drip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupted = !self.interrupted;
        if self.interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let (one, rest) = self.rest.split_at(self.rest.len().min(1));
        buffer[..one.len()].copy_from_slice(one);
        self.rest = rest;
        Ok(one.len())
    }
}

fn drip(text: &[u8]) -> Reader<Drip<'_>> {
    Reader::new(Drip { rest: text, interrupted: false })
}

fn skip<R: Read>(mut reader: Reader<R>) -> Result<(), JsonError> {
    reader.skip()?;
    reader.end()
}

fn value<R: Read>(mut reader: Reader<R>) -> Result<Value, JsonError> {
    let value = reader.value()?;
    reader.end()?;
    Ok(value)
}

#[track_caller]
fn accept(text: impl AsRef<[u8]>, want: Value) {
    let text = text.as_ref();
    let shown = text.escape_ascii();
    assert_eq!(parse(text).unwrap(), want, "{shown}");
    assert_eq!(value(drip(text)).unwrap(), want, "{shown}, byte by byte");
    skip(Reader::new(text)).unwrap();
    skip(drip(text)).unwrap();
    parse(&[text, b" \t\r\n"].concat()).unwrap();
    let trailing = [text, b" ]"].concat();
    assert_eq!(parse(&trailing).unwrap_err().kind.to_string(), Trailing.to_string(), "{shown}");
    // In an array, so that a number cut short is not another number.
    let item = [b"[", text, b"]"].concat();
    assert_eq!(parse(&item).unwrap(), Value::Array(vec![want]));
    for end in 0..item.len() {
        let error = parse(&item[..end]).unwrap_err();
        assert!(matches!(error.kind, UnexpectedEnd), "{shown} cut at {end}: {error}");
        assert_eq!(error.offset, end as u64);
    }
}

#[track_caller]
fn refuse(text: impl AsRef<[u8]>, kind: JsonErrorKind, offset: u64) {
    let text = text.as_ref();
    let trailing = [text, b"\"trailing"].concat();
    let mut outcomes =
        vec![parse(text).map(drop), value(drip(text)).map(drop), skip(Reader::new(text)), skip(drip(text))];
    if !matches!(kind, UnexpectedEnd) {
        outcomes.push(parse(&trailing).map(drop));
    }
    for outcome in outcomes {
        let error = outcome.expect_err(&text.escape_ascii().to_string());
        assert_eq!(
            error.to_string(),
            JsonError { kind: clone(&kind), offset }.to_string(),
            "{}",
            text.escape_ascii()
        );
        assert_eq!(discriminant(&error.kind), discriminant(&kind));
        assert!(!error.is_io());
    }
}

/// Of the kinds that tables hold.
fn clone(kind: &JsonErrorKind) -> JsonErrorKind {
    match kind {
        UnexpectedEnd => UnexpectedEnd,
        UnexpectedByte(byte) => UnexpectedByte(*byte),
        Trailing => Trailing,
        ControlByte(byte) => ControlByte(*byte),
        BadEscape => BadEscape,
        LoneSurrogate => LoneSurrogate,
        NotUtf8 => NotUtf8,
        NotExactInteger => NotExactInteger,
        DuplicateKey(key) => DuplicateKey(key.clone()),
        TooDeep => TooDeep,
        other => panic!("not in a table: {other:?}"),
    }
}

fn number(number: u64) -> Value {
    Value::Number(Unsigned(number))
}

fn text(text: &str) -> Value {
    Value::String(text.to_string())
}

fn array(items: impl Into<Vec<Value>>) -> Value {
    Value::Array(items.into())
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Object(members.map(|(key, value)| (key.to_string(), value)).into())
}

// ---- To accept --------------------------------------------------------------------------------------------------------------

#[test]
fn structures() {
    accept("null", Value::Null);
    accept("true", Value::Bool(true));
    accept("false", Value::Bool(false));
    accept("[]", array([]));
    accept("{}", object([]));
    accept(" [ ] ", array([]));
    accept("\t\r\n {\t\r\n }", object([]));
    accept("[null,1,\"1\",{},[]]", array([Value::Null, number(1), text("1"), object([]), array([])]));
    accept("[ 1 , 2 ]", array([number(1), number(2)]));
    accept("{ \"a\" : 1 , \"b\" : [ ] }", object([("a", number(1)), ("b", array([]))]));
    accept(r#"{"b":1,"a":2}"#, object([("b", number(1)), ("a", number(2))]));
    accept(r#"{"":0}"#, object([("", number(0))]));
    accept(r#"{"a":{"a":{"a":1}}}"#, object([("a", object([("a", object([("a", number(1))]))]))]));
    accept(r#"[{"a":1},{"a":1}]"#, array([object([("a", number(1))]), object([("a", number(1))])]));
    accept("[[],[[]],[]]", array([array([]), array([array([])]), array([])]));
}

#[test]
fn strings() {
    for (json, want) in [
        (r#""""#, ""),
        (r#""asd""#, "asd"),
        (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"),
        (r#""\u0061\u30af\u30EA""#, "a\u{30AF}\u{30EA}"),
        (r#""\u0000""#, "\0"),
        (r#""\ud834\udd1e""#, "\u{1D11E}"),
        (r#""\uD83D\uDE39\u200d\uDBFF\uDFFF""#, "\u{1F639}\u{200D}\u{10FFFF}"),
        (r#""\ud7ff\ue000""#, "\u{D7FF}\u{E000}"),
        (r#""\uFFFE\uFFFF\uFDD0""#, "\u{FFFE}\u{FFFF}\u{FDD0}"),
        (r#""\\u0000""#, "\\u0000"),
        (r#""a/*b*/c""#, "a/*b*/c"),
        ("\"\u{7F}\u{80}€𝄞\u{10FFFF}\"", "\u{7F}\u{80}€𝄞\u{10FFFF}"),
        ("\"\u{2028}\u{2029}\u{FEFF}\"", "\u{2028}\u{2029}\u{FEFF}"),
    ] {
        accept(json, text(want));
    }
    accept(r#"{"\u0061":1,"A":2}"#, object([("a", number(1)), ("A", number(2))]));
}

#[test]
fn numbers() {
    for (json, want) in [
        ("0", Unsigned(0)),
        ("7", Unsigned(7)),
        ("9007199254740992", Unsigned(1 << 53)),
        ("9007199254740993", Unsigned((1 << 53) + 1)),
        ("9223372036854775807", Unsigned(i64::MAX as u64)),
        ("9223372036854775808", Unsigned(1 << 63)),
        ("18446744073709551615", Unsigned(u64::MAX)),
        ("-1", Negative(-1)),
        ("-9007199254740993", Negative(-(1 << 53) - 1)),
        ("-9223372036854775808", Negative(i64::MIN)),
    ] {
        accept(json, Value::Number(want));
    }
}

// ---- To refuse --------------------------------------------------------------------------------------------------------------

#[test]
fn broken_structures() {
    for (json, kind, offset) in [
        ("", UnexpectedEnd, 0),
        (" ", UnexpectedEnd, 1),
        ("[", UnexpectedEnd, 1),
        ("[1", UnexpectedEnd, 2),
        ("[1,", UnexpectedEnd, 3),
        ("{", UnexpectedEnd, 1),
        (r#"{"a""#, UnexpectedEnd, 4),
        (r#"{"a":"#, UnexpectedEnd, 5),
        ("]", UnexpectedByte(b']'), 0),
        ("[}", UnexpectedByte(b'}'), 1),
        ("{]", UnexpectedByte(b']'), 1),
        ("[1}", UnexpectedByte(b'}'), 2),
        (r#"{"a":1]"#, UnexpectedByte(b']'), 6),
        ("[1,]", UnexpectedByte(b']'), 3),
        ("[1,,2]", UnexpectedByte(b','), 3),
        ("[,1]", UnexpectedByte(b','), 1),
        ("[1 2]", UnexpectedByte(b'2'), 3),
        ("[1:2]", UnexpectedByte(b':'), 2),
        ("[*]", UnexpectedByte(b'*'), 1),
        ("[1]]", Trailing, 3),
        ("1 1", Trailing, 2),
        ("[]#", Trailing, 2),
        ("{}/**/", Trailing, 2),
        ("/**/{}", UnexpectedByte(b'/'), 0),
        ("[1,/*c*/2]", UnexpectedByte(b'/'), 3),
        (r#"{"a":1,}"#, UnexpectedByte(b'}'), 7),
        (r#"{"a":1,,"b":2}"#, UnexpectedByte(b','), 7),
        (r#"{,"a":1}"#, UnexpectedByte(b','), 1),
        (r#"{"a" 1}"#, UnexpectedByte(b'1'), 5),
        (r#"{"a","b"}"#, UnexpectedByte(b','), 4),
        (r#"{"a"::1}"#, UnexpectedByte(b':'), 5),
        (r#"{"a":1 "b":2}"#, UnexpectedByte(b'"'), 7),
        ("{a:1}", UnexpectedByte(b'a'), 1),
        ("{'a':1}", UnexpectedByte(b'\''), 1),
        ("{1:1}", UnexpectedByte(b'1'), 1),
        ("{null:1}", UnexpectedByte(b'n'), 1),
        ("{[]:1}", UnexpectedByte(b'['), 1),
        ("['a']", UnexpectedByte(b'\''), 1),
        ("nul", UnexpectedEnd, 3),
        ("nulL", UnexpectedByte(b'L'), 3),
        ("True", UnexpectedByte(b'T'), 0),
        ("[truth]", UnexpectedByte(b't'), 4),
        ("truefalse", Trailing, 4),
        ("undefined", UnexpectedByte(b'u'), 0),
        ("[\u{C}]", UnexpectedByte(0x0C), 1),
        ("[\0]", UnexpectedByte(0), 1),
        ("[\u{A0}]", UnexpectedByte(0xC2), 1),
        ("[\u{2060}]", UnexpectedByte(0xE2), 1),
    ] {
        refuse(json, kind, offset);
    }
}

#[test]
fn broken_strings() {
    for (json, kind, offset) in [
        (&br#"""#[..], UnexpectedEnd, 1),
        (br#""a"#, UnexpectedEnd, 2),
        (br#""\"#, UnexpectedEnd, 2),
        (br#""\u00"#, UnexpectedEnd, 5),
        (b"\"a\nb\"", ControlByte(b'\n'), 2),
        (b"\"\t\"", ControlByte(b'\t'), 1),
        (b"\"\0\"", ControlByte(0), 1),
        (b"\"\x1F\"", ControlByte(0x1F), 1),
        (br#""\x00""#, BadEscape, 1),
        (br#""\a""#, BadEscape, 1),
        (br#""\'""#, BadEscape, 1),
        (br#""\U0041""#, BadEscape, 1),
        (b"\"\\\0\"", BadEscape, 1),
        (b"\"\\\xF0\x9F\x8C\x80\"", BadEscape, 1),
        (br#""\u""#, BadEscape, 3),
        (br#""\u004""#, BadEscape, 6),
        (br#""\u+041""#, BadEscape, 3),
        (br#""\u 041""#, BadEscape, 3),
        (br#""\u00g1""#, BadEscape, 5),
        (br#""\u0 6 1""#, BadEscape, 4),
        (br#""\ud800""#, LoneSurrogate, 1),
        (br#""\ud800abc""#, LoneSurrogate, 1),
        (br#""a\udc00""#, LoneSurrogate, 2),
        (br#""\udd1e\ud834""#, LoneSurrogate, 1),
        (br#""\ud800\ud800""#, LoneSurrogate, 1),
        (br#""\ud800\n""#, LoneSurrogate, 1),
        (br#""\ud800\u0041""#, LoneSurrogate, 1),
        (br#""\ud800\u""#, BadEscape, 9),
        (br#"{"\ud800":1}"#, LoneSurrogate, 2),
    ] {
        refuse(json, kind, offset);
    }
}

#[test]
fn broken_encodings() {
    for bytes in [
        &b"\xFF"[..],        // never a byte of UTF-8
        b"\x80",             // a continuation of nothing
        b"\xC3",             // cut short
        b"\xE2\x82",         // cut short
        b"\xC0\xAF",         // overlong /
        b"\xE0\x80\xAF",     // overlong /
        b"\xC0\x80",         // overlong NUL
        b"\xF0\x80\x80\xAF", // overlong /
        b"\xED\xA0\x80",     // a surrogate
        b"\xF4\x90\x80\x80", // beyond U+10FFFF
        b"\xC3\\u00A9",      // the rest of a character can't come from an escape
        b"\\u00C3\xA9",      // nor its beginning
        b"na\xEFve Latin-1",
    ] {
        refuse([b"[\"", bytes, b"\"]"].concat(), NotUtf8, 1);
        refuse([b"{\"", bytes, b"\":0}"].concat(), NotUtf8, 1);
        refuse([b"{\"a\":\"", bytes, b"\"}"].concat(), NotUtf8, 5);
    }
    refuse("\u{FEFF}{}", UnexpectedByte(0xEF), 0);
    refuse("\u{FEFF}", UnexpectedByte(0xEF), 0);
    refuse(b"\xFF\xFE[\0]\0", UnexpectedByte(0xFF), 0);
    refuse(b"[\0]\0", UnexpectedByte(0), 1);
    refuse(b"[\xE9]", UnexpectedByte(0xE9), 1);
}

#[test]
fn broken_numbers() {
    for (json, kind, offset) in [
        ("[-]", UnexpectedByte(b']'), 2),
        ("[+1]", UnexpectedByte(b'+'), 1),
        ("[--1]", UnexpectedByte(b'-'), 2),
        ("[- 1]", UnexpectedByte(b' '), 2),
        ("[01]", UnexpectedByte(b'1'), 2),
        ("[-01]", UnexpectedByte(b'1'), 3),
        ("[00]", UnexpectedByte(b'0'), 2),
        ("[.5]", UnexpectedByte(b'.'), 1),
        ("[-.5]", UnexpectedByte(b'.'), 2),
        ("[1.]", UnexpectedByte(b']'), 3),
        ("[1.e1]", UnexpectedByte(b'e'), 3),
        ("[1.+1]", UnexpectedByte(b'+'), 3),
        ("[1e]", UnexpectedByte(b']'), 3),
        ("[1e+]", UnexpectedByte(b']'), 4),
        ("[1e+-1]", UnexpectedByte(b'-'), 4),
        ("[1eE1]", UnexpectedByte(b'E'), 3),
        ("[0x10]", UnexpectedByte(b'x'), 2),
        ("[1a]", UnexpectedByte(b'a'), 2),
        ("[1_000]", UnexpectedByte(b'_'), 2),
        ("[1 000]", UnexpectedByte(b'0'), 3),
        ("[NaN]", UnexpectedByte(b'N'), 1),
        ("[Infinity]", UnexpectedByte(b'I'), 1),
        ("[-Infinity]", UnexpectedByte(b'I'), 2),
        ("[\u{FF11}]", UnexpectedByte(0xEF), 1),
    ] {
        refuse(json, kind, offset);
    }
}

// ---- Left open by the RFC ---------------------------------------------------------------------------------------------------

#[test]
fn numbers_that_are_no_exact_integers() {
    for json in [
        "1.2.3",
        "-0",
        "0.0",
        "-0.0",
        "1.0",
        "1.5",
        "-1.5",
        "0e1",
        "0E+1",
        "1e0",
        "1E2",
        "1e-2",
        "1e+2",
        "123.456e78",
        "1e400",
        "-1e400",
        "1e-400",
        "0.4e00669999999999999999999",
        "18446744073709551616",
        "18446744073709551625",
        "99999999999999999999",
        "-9223372036854775809",
        "-18446744073709551616",
        "100000000000000000000000000000000000000000000000000000000000000000000000",
    ] {
        refuse(format!("[{json}]"), NotExactInteger, 1);
        refuse(format!("{{\"a\":{json} }}"), NotExactInteger, 5);
    }
}

#[test]
fn duplicate_keys() {
    let twice = || DuplicateKey("a".to_string());
    refuse(r#"{"a":1,"a":1}"#, twice(), 7);
    refuse(r#"{"a":1,"b":2,"a":3}"#, twice(), 13);
    refuse(r#"{"a":1,"\u0061":2}"#, twice(), 7);
    refuse(r#"[[{"x":{"a":[],"a":[]}}]]"#, twice(), 15);
    refuse(r#"{"":1,"":2}"#, DuplicateKey(String::new()), 6);
    // Among many, the first as well as the last.
    let many: String = (0..40).map(|number| format!("\"{number:02}\":0,")).collect();
    for again in ["00", "15", "16", "39"] {
        refuse(format!("{{{many}\"{again}\":0}}"), DuplicateKey(again.to_string()), 1 + 40 * 7);
    }
    // Not duplicates: no normalisation, no case folding.
    parse("{\"\u{E9}\":1,\"e\u{301}\":2,\"E\":3}".as_bytes()).unwrap();
}

#[test]
fn depth() {
    let nested = |depth: usize| [b"[".repeat(depth), b"]".repeat(depth)].concat();
    parse(&nested(JSON_DEPTH)).unwrap();
    refuse(nested(JSON_DEPTH + 1), TooDeep, JSON_DEPTH as u64);
    refuse("[".repeat(100_000), TooDeep, JSON_DEPTH as u64);
    refuse(r#"{"a":"#.repeat(100_000), TooDeep, JSON_DEPTH as u64 * 5);
    refuse(r#"[{"":"#.repeat(50_000), TooDeep, JSON_DEPTH as u64 / 2 * 5);
    // Side by side is not inside each other.
    parse(format!("[{}[]]", "[],".repeat(1000)).as_bytes()).unwrap();
}

// ---- Limits -----------------------------------------------------------------------------------------------------------------

#[track_caller]
fn over_limit(text: &str, kind: JsonErrorKind) {
    let error = parse(text.as_bytes()).unwrap_err();
    assert_eq!(discriminant(&error.kind), discriminant(&kind), "{error}");
    assert!(error.is_limit());
}

#[test]
fn limits() {
    let longest = "a".repeat(JSON_STRING_BYTES);
    parse(format!("\"{longest}\"").as_bytes()).unwrap();
    over_limit(&format!("\"{longest}a\""), StringTooLong);
    over_limit(&format!("\"{longest}\\n\""), StringTooLong);
    // The error is at the first byte too many, in whatever pieces the text comes.
    let long = format!("\"{longest}aaa\"");
    for first in [1, 2, 1000, JSON_STRING_BYTES, JSON_STRING_BYTES + 2] {
        let (first, second) = long.as_bytes().split_at(first);
        let error = Reader::new(first.chain(second)).value().unwrap_err();
        assert_eq!(error.offset, JSON_STRING_BYTES as u64 + 1);
    }
    // It is the length after unescaping that counts.
    parse(format!("\"{}\"", "\\u0061".repeat(JSON_STRING_BYTES)).as_bytes()).unwrap();

    let keys = |count: usize| (0..count).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(",");
    parse(format!("{{{}}}", keys(JSON_KEYS)).as_bytes()).unwrap();
    over_limit(&format!("{{{}}}", keys(JSON_KEYS + 1)), TooManyKeys);

    let inside_each_other =
        |count: usize| format!("{{\"{longest}\":").repeat(count) + "0" + &"}".repeat(count);
    let count = JSON_KEY_BYTES / JSON_STRING_BYTES;
    parse(inside_each_other(count).as_bytes()).unwrap();
    over_limit(&inside_each_other(count + 1), KeysTooLong);
    // Keys of objects that have ended are forgotten.
    let one = format!("{{\"{longest}\":0}}");
    skip(Reader::new(format!("[{}{one}]", format!("{one},").repeat(20)).as_bytes())).unwrap();
}

#[test]
fn length_of_a_whole_value() {
    let array_of = |bytes: usize| format!("[{}1]", "1,".repeat((bytes - 3) / 2));
    let longest = array_of(JSON_VALUE_BYTES - 1);
    assert_eq!(longest.len(), JSON_VALUE_BYTES - 1);
    parse(format!("  {longest}  ").as_bytes()).unwrap();
    parse(format!(" {} ", longest.replace("1]", " 1]")).as_bytes()).unwrap();
    over_limit(&longest.replace("1]", "  1]"), ValueTooLong);
    over_limit(&format!("[{}", "1,".repeat(JSON_VALUE_BYTES)), ValueTooLong);
    over_limit(&format!("[1{}", " ".repeat(JSON_VALUE_BYTES)), ValueTooLong);
    // The limit is that of one value: many of them may be longer, and what is skipped as well.
    let many = format!("[{longest},{longest}]");
    skip(Reader::new(many.as_bytes())).unwrap();
    let mut reader = Reader::new(many.as_bytes());
    reader.begin_array().unwrap();
    while reader.next_item().unwrap() {
        reader.value().unwrap();
    }
    reader.end().unwrap();
}

// ---- Pulling ----------------------------------------------------------------------------------------------------------------

const LIST: &[u8] = br#" { "client" : {"id":"x"} , "files" : [ {"path":"a"}, 2, [ ] ] , "cursor" : null } "#;

/// The calls of a program that knows what it reads.
fn pull<R: Read>(mut reader: Reader<R>) -> Result<Vec<String>, JsonError> {
    let mut seen = Vec::new();
    reader.begin_object()?;
    while let Some(key) = reader.next_key()? {
        match &key[..] {
            "files" => {
                reader.begin_array()?;
                while reader.next_item()? {
                    seen.push(format!("{:?}", reader.value()?.get("path").and_then(Value::as_str)));
                }
            }
            "client" => reader.skip()?,
            _ => seen.push(format!("{:?}", reader.value()?)),
        }
        seen.push(key);
    }
    reader.end()?;
    Ok(seen)
}

#[test]
fn pulled_in_order() {
    let want = ["client", "Some(\"a\")", "None", "None", "files", "Null", "cursor"];
    assert_eq!(pull(Reader::new(LIST)).unwrap(), want);
    assert_eq!(pull(drip(LIST)).unwrap(), want);
    let end = LIST.trim_ascii_end().len();
    for end in 0..end {
        let error = pull(Reader::new(&LIST[..end])).unwrap_err();
        assert!(matches!(error.kind, UnexpectedEnd), "cut at {end}: {error}");
    }
    assert!(matches!(pull(Reader::new(&[LIST, b"1"].concat()[..])).unwrap_err().kind, Trailing));
}

#[test]
fn duplicates_are_found_while_pulling() {
    let error = pull(drip(br#"{"files":[],"client":0,"files":[]}"#)).unwrap_err();
    assert!(matches!(error.kind, DuplicateKey(key) if key == "files"));
    let error = pull(drip(br#"{"client":[{"a":1,"a":2}]}"#)).unwrap_err();
    assert!(matches!(error.kind, DuplicateKey(_)));
}

#[test]
fn wrong_types() {
    for (text, wanted) in [("[]", "an object"), ("1", "an object"), (" null", "an object")] {
        let error = Reader::new(text.as_bytes()).begin_object().unwrap_err();
        assert!(matches!(error.kind, WrongType { wanted: got } if got == wanted), "{error}");
    }
    assert!(matches!(
        Reader::new(&b"{}"[..]).begin_array().unwrap_err().kind,
        WrongType { wanted: "an array" }
    ));
    assert!(matches!(Reader::new(&b"}"[..]).begin_array().unwrap_err().kind, UnexpectedByte(b'}')));
    assert!(matches!(Reader::new(&b""[..]).begin_object().unwrap_err().kind, UnexpectedEnd));
}

#[test]
fn calls_out_of_turn() {
    type Call = fn(&mut Reader<&[u8]>) -> Result<(), JsonError>;
    let calls: [Call; 8] = [
        |reader| reader.next_key().map(drop),
        |reader| reader.next_item().map(drop),
        |reader| reader.end(),
        |reader| reader.begin_array().and_then(|()| reader.next_key().map(drop)),
        |reader| reader.begin_array().and_then(|()| reader.skip()),
        |reader| reader.begin_array().and_then(|()| reader.end()),
        |reader| {
            reader.begin_array().and_then(|()| reader.next_item()).and_then(|_| reader.next_item().map(drop))
        },
        |reader| reader.skip().and_then(|()| reader.skip()),
    ];
    for call in calls {
        let error = call(&mut Reader::new(&b"[1,2]"[..])).unwrap_err();
        assert!(matches!(error.kind, OutOfTurn), "{error}");
    }
}

#[test]
fn failing_source_is_not_bad_syntax() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    let error = pull(Reader::new(LIST[..20].chain(Failing))).unwrap_err();
    assert!(error.is_io() && !error.is_limit());
    assert_eq!(error.offset, 20);
    assert!(std::error::Error::source(&error).is_some());
}

/// Every text of up to six tokens of a small vocabulary: `value`, `skip` and the drip agree on each.
///
/// Those to accept, by their number of tokens: 2 (`0`, `"a"`), 2 (`[]`, `{}`), 2 (one in `[]`), 2, then 2 + 4 (two in `[]`) + 2 (one in
/// `{}`), then 2 + 8 + 2.
#[test]
fn small_texts_exhausted() {
    let vocabulary = ["{", "}", "[", "]", ",", ":", "\"a\"", "0", "-"];
    let mut accepted = 0;
    for length in 0..=6 {
        for index in 0..vocabulary.len().pow(length) {
            let tokens =
                (0..length).map(|place| vocabulary[index / vocabulary.len().pow(place) % vocabulary.len()]);
            let text: String = tokens.collect();
            let bytes = text.as_bytes();
            let whole = parse(bytes);
            let skipped = skip(drip(bytes));
            accepted += usize::from(whole.is_ok());
            assert_eq!(
                whole.map(drop).map_err(|error| error.to_string()),
                skipped.map_err(|error| error.to_string()),
                "{text}"
            );
        }
    }
    assert_eq!(accepted, 2 + 2 + 2 + 2 + 8 + 12);
}
