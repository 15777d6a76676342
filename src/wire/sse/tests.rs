use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug, PartialEq)]
enum Owned {
    Comment,
    Event(String, String),
    TooLong,
}

/// Everything a stream holds when it comes in these chunks, and whether it ended in the middle of an event.
fn items<'a>(bytes_max: usize, chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Owned>, bool) {
    let mut parser = SseParser::new(bytes_max);
    let mut items = Vec::new();
    for chunk in chunks {
        let pushed = parser.push(chunk, |item| {
            items.push(match item {
                SseItem::Comment => Owned::Comment,
                SseItem::Event { name, data, .. } => Owned::Event(name.to_owned(), data.to_owned()),
            });
            Ok::<_, TooLong>(())
        });
        if pushed.is_err() {
            items.push(Owned::TooLong);
            return (items, false);
        }
    }
    (items, parser.is_mid_event())
}

fn whole(stream: &[u8]) -> Vec<Owned> {
    items(1 << 20, [stream]).0
}

/// `name|data` an event, `:` a comment.
fn check(stream: &str, expected: &[&str]) {
    let spelled: Vec<String> = whole(stream.as_bytes())
        .into_iter()
        .map(|item| match item {
            Owned::Comment => ":".to_owned(),
            Owned::Event(name, data) => format!("{name}|{data}"),
            Owned::TooLong => "too long".to_owned(),
        })
        .collect();
    assert_eq!(spelled, expected, "{stream:?}");
}

#[test]
fn a_line_that_is_wrapped_twice_means_what_is_within() {
    check("data: data: {\"a\":1}\ndata:\ndata:\n\ndata: data: [DONE]\n\n", &["|{\"a\":1}\n\n", "|[DONE]"]);
    check("data: data: a word\n\ndata: data\n\n", &["|data: a word", "|data"]);
}

#[test]
fn reads_what_providers_send() {
    check("data: a\n\ndata: b\n\n", &["|a", "|b"]);
    check("event: error\ndata: {\"a\":1}\n\n", &["error|{\"a\":1}"]);
    check(": keep-alive\n\n: again\n\ndata: x\n\n", &[":", ":", "|x"]);
    check("data: a\r\n\r\ndata: b\r\n\r\n", &["|a", "|b"]);
    check("data: a\r\rdata: b\r\r", &["|a", "|b"]);
    check("id:1\nevent:result\n:HTTP_STATUS/200\ndata:{}\n\n", &[":", "result|{}"]);
    check("data:  two spaces\n\n", &["| two spaces"]);
    check("data: a\ndata: b\ndata\ndata: c\n\n", &["|a\nb\n\nc"]);
    check("data:\n\n", &["|"]);
    check("data\n\n", &["|"]);
    check("\n\n\ndata: x\n\n\n\n", &["|x"]);
    check("retry: 10\nfoo: bar\ndatax: 1\nevents: 2\n\n", &[]);
    check("data: ü\u{1F600}\n\n", &["|ü\u{1F600}"]);
}

#[test]
fn forgets_the_name_of_an_event_without_data() {
    check("event: ping\n\ndata: x\n\n", &["|x"]);
    check("event: a\nevent: b\ndata: x\n\ndata: y\n\n", &["b|x", "|y"]);
}

#[test]
fn skips_a_byte_order_mark_at_the_head_only() {
    check("\u{feff}data: x\n\n", &["|x"]);
    check("\u{feff}\u{feff}data: x\n\n", &[]);
    check("data: x\n\n\u{feff}data: y\n\n", &["|x"]);
}

#[test]
fn never_hands_out_an_event_that_is_cut_off_and_tells_so() {
    for (stream, mid_event) in [
        ("data: x\n\n", false),
        ("data: x\n\ndata: y", true),
        ("data: x\n\ndata: y\n", true),
        ("data: x\n\nevent: e\n", true),
        ("data: x\n\nda", true),
        ("data: x\n\n: comment\n", false),
    ] {
        let (items, mid) = items(100, [stream.as_bytes()]);
        let events = items.iter().filter(|item| matches!(item, Owned::Event(..))).count();
        assert_eq!((events, mid), (1, mid_event), "{stream:?}");
    }
}

#[test]
fn replaces_bytes_that_are_no_text() {
    assert_eq!(whole(b"data: a\xFFb\n\n"), [Owned::Event(String::new(), "a\u{fffd}b".to_owned())]);
}

#[test]
fn refuses_lines_and_data_above_the_limit() {
    let fits = [Owned::Event(String::new(), "1234".to_owned())];
    assert_eq!(items(10, [&b"data: 1234\n\n"[..]]).0, fits);
    assert_eq!(items(9, [&b"data: 1234\n\n"[..]]).0, [Owned::TooLong]);
    assert_eq!(items(9, [&b"data: 1234"[..]]).0, [Owned::TooLong]);
    assert_eq!(items(9, [&b"data: 123\ndata: 123\ndata: 123\n\n"[..]]).0, [Owned::TooLong]);
    assert_eq!(items(9, [&b": long comment\n\n"[..]]).0, [Owned::TooLong]);
}

#[test]
fn gives_back_the_error_of_the_function_that_takes_the_items() {
    #[derive(Debug, PartialEq)]
    struct Enough;
    impl From<TooLong> for Enough {
        fn from(_: TooLong) -> Self {
            Self
        }
    }
    assert_eq!(SseParser::new(100).push(b"data: a\n\n", |_| Err(Enough)), Err(Enough));
}

/// Streams made of the bytes that matter.
#[test]
fn a_stream_that_breaks_off_into_json_is_over_there() {
    let stream = b"data: a\r\n\r\n{\n  \"error\": {}\n}\ndata: b\n\n";
    for size in [1, 2, 5, 11, 12, 100] {
        let (mut parser, mut events, mut json) = (SseParser::new(100), 0, Vec::new());
        for chunk in stream.chunks(size) {
            let rest = parser.push(chunk, |_| {
                events += 1;
                Ok::<_, TooLong>(())
            });
            json.extend_from_slice(rest.expect("no line is long").unwrap_or_default());
        }
        assert_eq!((events, json.as_slice()), (1, &stream[11..]), "{size}");
    }
    check("data: {\ndata: }\n\n", &["|{\n}"]);
}

fn streams() -> impl Strategy<Value = Vec<u8>> {
    const TOKENS: [&[u8]; 14] = [
        b"data: ",
        b"data:",
        b"event: e",
        b":",
        b"\n",
        b"\n\n",
        b"\r",
        b"\r\n",
        b"\r\n\r\n",
        b"\xEF\xBB\xBF",
        b"\xC3\xBC",
        b"\xFF",
        b"x",
        b"{\"a\": 1}",
    ];
    let token = prop::sample::select(&TOKENS[..]);
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn chunk_borders_change_nothing(
        stream in streams(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        bytes_max in 1_usize..60,
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]);
        let expected = items(bytes_max, [&stream[..]]);
        prop_assert_eq!(&items(bytes_max, chunks), &expected);
        prop_assert_eq!(&items(bytes_max, stream.chunks(1)), &expected);
    }

    #[test]
    fn any_bytes_are_taken(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..10)) {
        items(50, chunks.iter().map(Vec::as_slice));
    }
}
