//! No line has more than 120 columns, except those that cannot be broken: a row of a document's table, an address, and
//! a literal of a source that has its line for itself.
//!
//! `WRAP=write cargo test --test docs columns` wraps the paragraphs of documents and comments that have longer lines.

use std::path::PathBuf;
use std::{env, fs};

use super::literals::{blank_literals, is_word};
use super::{files, root};

const COLUMNS: usize = 120;

/// Returns a document, or the comments of a source, with each paragraph wrapped that has a line which is too long.
pub(super) fn wrapped(text: &str, is_source: bool) -> String {
    let (mut out, mut paragraph, mut in_code) = (Vec::new(), Vec::new(), false);
    let code = code(text, is_source);
    for (line, code) in text.lines().zip(code.lines()) {
        // What looks like a comment within a literal is none.
        let (prefix, inner) = if is_source && line == code { comment(line) } else { ("", line) };
        let fence = inner.trim_start().starts_with("```");
        let is_text = (!is_source || !prefix.is_empty()) && !fence && !in_code && is_prose(inner);
        in_code ^= fence;
        let goes_on = paragraph.first().is_some_and(|first: &(&str, &str)| first.0 == prefix);
        if !is_text || !goes_on || begins_an_item(inner) {
            finish(&mut paragraph, &mut out);
        }
        if is_text {
            paragraph.push((prefix, inner));
        } else {
            out.push(line.to_owned());
        }
        // Two blanks at a line's end break it.
        if inner.ends_with("  ") {
            finish(&mut paragraph, &mut out);
        }
    }
    finish(&mut paragraph, &mut out);
    let end = if text.ends_with('\n') { "\n" } else { "" };
    out.join("\n") + end
}

/// Splits a line into a comment's mark and its text; the mark is empty if the line is no comment.
fn comment(line: &str) -> (&str, &str) {
    let indent = line.len() - line.trim_start().len();
    let rest = &line[indent..];
    let mark = ["///", "//!", "//"].into_iter().find(|mark| rest.starts_with(mark)).map_or(0, str::len);
    line.split_at(if mark == 0 { 0 } else { indent + mark })
}

/// Tells whether a line is of a paragraph: no heading, no table, no markup, no reference of a link, not blank.
fn is_prose(line: &str) -> bool {
    let line = line.trim_start();
    let is_reference = line.starts_with('[') && line.contains("]: ");
    !line.is_empty() && !line.starts_with(['#', '|', '<', '>']) && !line.starts_with("---") && !is_reference
}

/// Returns how far the mark of a list's item reaches: `- `, `12. `; 0 where there is none.
fn mark(line: &str) -> usize {
    let digits = line.len() - line.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
    match &line[digits..] {
        rest if digits > 0 && rest.starts_with(". ") => digits + 2,
        rest if digits == 0 && ["- ", "* ", "+ "].iter().any(|mark| rest.starts_with(mark)) => 2,
        _ => 0,
    }
}

fn begins_an_item(line: &str) -> bool {
    mark(line.trim_start()) > 0
}

/// Wraps a paragraph if it must be, and hands it out.
fn finish(paragraph: &mut Vec<(&str, &str)>, out: &mut Vec<String>) {
    let lines: Vec<String> = paragraph.iter().map(|(prefix, inner)| format!("{prefix}{inner}")).collect();
    let first = paragraph.first().copied();
    let text = paragraph.drain(..).map(|(_, inner)| inner.trim()).collect::<Vec<_>>().join(" ");
    match first {
        Some((prefix, inner)) if lines.iter().any(|line| is_too_long(line)) => {
            let indent = &inner[..inner.len() - inner.trim_start().len()];
            let hanging = format!("{prefix}{indent}{}", " ".repeat(mark(&text)));
            let mut line = format!("{prefix}{indent}");
            let mut is_empty = true;
            for word in words(&text) {
                if !is_empty && width(&line) + 1 + width(&word) > COLUMNS {
                    out.push(std::mem::replace(&mut line, hanging.clone()));
                } else if !is_empty {
                    line.push(' ');
                }
                line.push_str(&word);
                is_empty = false;
            }
            out.push(line);
        }
        _ => out.extend(lines),
    }
}

/// Returns the parts that must not be broken: words, quoted code, and a word with the next one if that would have a
/// meaning at a line's beginning.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut quoted = false;
    for word in text.split_whitespace() {
        let means = begins_an_item(&format!("{word} "))
            || word.starts_with(['#', '|', '<', '>', '+', '='])
            || word.starts_with(|letter: char| letter.is_ascii_digit());
        match words.last_mut() {
            Some(last) if quoted || means => *last = format!("{last} {word}"),
            _ => words.push(word.to_owned()),
        }
        quoted ^= word.matches('`').count() % 2 == 1;
    }
    words
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Tells whether a line has too many columns, although there is a place to break it.
fn is_too_long(line: &str) -> bool {
    width(line) > COLUMNS
}

/// Tells whether a line of a source is one literal or a part of one, alone or behind the name that it is given to. In
/// `code` literals are blanks.
fn is_one_literal(line: &str, code: &str) -> bool {
    let (mut start, mut longest) = (0, 0..0);
    for (at, byte) in code.bytes().enumerate() {
        if byte != b' ' {
            start = at + 1;
        } else if at + 1 - start > longest.len() {
            longest = start..at + 1;
        }
    }
    let (before, after) = (&line[..longest.start], &line[longest.end..]);
    let has_words = |text: &str| text.bytes().any(is_word);
    line != code && !has_words(after) && (!has_words(before) || before.ends_with(['=', ':']))
}

/// Returns the numbers of a document's lines that are too long.
fn long_lines(text: &str, is_source: bool) -> Vec<usize> {
    let mut long = Vec::new();
    let code = code(text, is_source);
    for (at, (line, code)) in text.lines().zip(code.lines()).enumerate() {
        let stays = if is_source && line != code {
            is_one_literal(line, code)
        } else {
            let (prefix, inner) = if is_source { comment(line) } else { ("", line) };
            let is_row = !is_source && inner.trim_start().starts_with('|');
            is_row || ((!is_source || !prefix.is_empty()) && words(inner).len() < 2)
        };
        if is_too_long(line) && !stays {
            long.push(at + 1);
        }
    }
    long
}

/// Returns a text with other letters in its literals, or as it is where it is no source.
fn code(text: &str, is_source: bool) -> String {
    if is_source { blank_literals(text) } else { text.to_owned() }
}

/// Returns every document, and every source that is written by hand.
fn texts() -> Vec<PathBuf> {
    let folders = ["src", "tests", "examples", "docs"].map(|folder| root().join(folder));
    let is_ours = |path: &PathBuf| !path.to_string_lossy().contains("/target/");
    let below = folders.iter().flat_map(|folder| [files(folder, ".rs"), files(folder, ".md")]).flatten();
    let beside =
        ["build.rs", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"].map(|file| root().join(file));
    below.filter(is_ours).chain(beside).collect()
}

#[test]
fn no_line_has_more_columns_than_a_screen() {
    let mut problems = Vec::new();
    for path in texts() {
        let is_source = path.extension().is_some_and(|extension| extension == "rs");
        let mut text = fs::read_to_string(&path).expect("a readable file");
        if env::var("WRAP").is_ok_and(|wrap| wrap == "write") {
            let wrapped = wrapped(&text, is_source);
            if wrapped != text {
                fs::write(&path, &wrapped).expect("a writable file");
                text = wrapped;
            }
        }
        let name = path.strip_prefix(root()).expect("below the root").display();
        problems.extend(long_lines(&text, is_source).into_iter().map(|line| format!("{name}:{line}")));
    }
    let remedy = "`WRAP=write cargo test --test docs columns` wraps what can be wrapped";
    assert!(problems.is_empty(), "more than {COLUMNS} columns; {remedy}:\n{}", problems.join("\n"));
}

#[test]
fn a_paragraph_is_wrapped_where_it_may_be() {
    // 114 columns.
    let long = ["word"; 23].join(" ");
    for (is_source, text, expected) in [
        (false, format!("{long} and more.\n"), format!("{long} and\nmore.\n")),
        (false, format!("- {long} `a b` end.\n"), format!("- {long}\n  `a b` end.\n")),
        // A number at a line's beginning would be the mark of an item.
        (false, format!("{long} and 70 more.\n"), format!("{long}\nand 70 more.\n")),
        (
            true,
            format!("    /// {long} end.\n    x();\n"),
            format!("    /// {}\n    /// word end.\n    x();\n", &long[5..]),
        ),
    ] {
        assert_eq!(wrapped(&text, is_source), expected);
        assert_eq!((long_lines(&text, is_source), long_lines(&expected, is_source)), (vec![1], vec![]), "{text}");
    }
    for (is_source, text) in [
        (false, format!("| {long} and more |\n")),
        (false, format!("{}/{}\n", "x".repeat(60), "y".repeat(60))),
        (true, format!("let a = r\"\n// {long} and more\n\";\n")),
        (true, format!("let x = \"{}\";\n", "x".repeat(120))),
    ] {
        assert_eq!(wrapped(&text, is_source), text);
        assert_eq!(long_lines(&text, is_source), [] as [usize; 0], "{text}");
    }
    let literal = "x".repeat(120);
    for text in [
        format!("let {literal} = 1;\n"),
        format!("f(1, \"{literal}\");\n"),
        format!("    \"a\", \"{literal}\",\n"),
        format!("/// | {long} and more |\n"),
    ] {
        assert_eq!(long_lines(&text, true), [1], "{text}");
    }
}
