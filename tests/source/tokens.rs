//! This module splits Rust text into words and signs, without comments, strings and tests.

/// Splits a text into identifiers, `::` and single signs.
pub(crate) fn tokens(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = skipped(rest);
        if len > 0 {
            rest = &rest[len..];
        } else if is_word(first) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            all.push(rest[..end].to_owned());
            rest = &rest[end..];
        } else {
            let end = if rest.starts_with("::") { 2 } else { first.len_utf8() };
            all.push(rest[..end].to_owned());
            rest = &rest[end..];
        }
    }
    all
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Counts the bytes of a space, comment, string, character or lifetime at the start.
fn skipped(text: &str) -> usize {
    let bytes = text.as_bytes();
    match bytes[0] {
        b'/' if text.starts_with("//") => text.find('\n').unwrap_or(text.len()),
        b'/' if text.starts_with("/*") => block_comment(text),
        b'"' => string(text),
        b'\'' => character(text),
        b'r' | b'b' | b'c' => prefixed(text),
        c if c.is_ascii_whitespace() => 1,
        _ => 0,
    }
}

/// Measures a block comment; such comments nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// Measures a string with escapes, which begins with its quote.
fn string(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// Measures a character, or a lifetime with its quote.
fn character(text: &str) -> usize {
    let mut rest = text.char_indices().skip(1);
    match (rest.next(), rest.next()) {
        (Some((_, '\\')), Some((escaped, c))) => {
            let from = escaped + c.len_utf8();
            text[from..].find('\'').map_or(text.len(), |end| from + end + 1)
        }
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 1 + text[1..].find(|c| !is_word(c)).unwrap_or(text.len() - 1),
    }
}

/// Measures a raw string, or a string or character of bytes; 0 if the start is an ordinary word.
fn prefixed(text: &str) -> usize {
    let prefix = text.bytes().take_while(|c| b"rbc".contains(c)).count();
    let hashes = text[prefix..].bytes().take_while(|c| *c == b'#').count();
    let rest = &text[prefix + hashes..];
    let raw = text[..prefix].contains('r');
    match rest.bytes().next() {
        Some(b'"') if raw => {
            let end = format!("\"{}", "#".repeat(hashes));
            let found = rest[1..].find(&end).map(|at| 1 + at + end.len());
            prefix + hashes + found.unwrap_or(rest.len())
        }
        Some(b'"') if hashes == 0 => prefix + string(rest),
        Some(b'\'') if &text[..prefix] == "b" && hashes == 0 => prefix + character(rest),
        _ => 0,
    }
}

/// Leaves out items under `#[cfg(test)]`, and returns the names of the modules among them.
pub(crate) fn without_tests(tokens: &[String]) -> (Vec<String>, Vec<String>) {
    const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut modules) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at..].iter().zip(TEST).filter(|(a, b)| *a == b).count() < TEST.len() {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let item = &tokens[at..at + TEST.len() + item(&tokens[at + TEST.len()..])];
        let module = item.iter().position(|token| token == "mod");
        modules.extend(module.and_then(|module| item.get(module + 1)).cloned());
        at += item.len();
    }
    (kept, modules)
}

/// Counts the tokens of the item at the start, which ends with a semicolon or its last brace.
fn item(tokens: &[String]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 && (token == ";" || token == "}") {
            return at + 1;
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::{tokens, without_tests};

    fn words(text: &str) -> String {
        tokens(text).join(" ")
    }

    #[test]
    fn comments_strings_and_characters_are_left_out() {
        assert_eq!(words("a::b // c::d\n/* e /* f */ g */ h"), "a :: b h");
        assert_eq!(words(r#"x("crate::a \" b", 'c', '\'', '\u{41}', b'"') y"#), "x ( , , , , ) y");
        assert_eq!(words(r###"r#"crate::a " b"# br"c" b"d\"e" z"###), "z");
        assert_eq!(words("fn f<'a>(x: &'a str) {}"), "fn f < > ( x : & str ) { }");
        assert_eq!(words("/// [`crate::a`]\nr#type break_b rb"), "r # type break_b rb");
        assert_eq!(words("'ä' x 'label: loop {}"), "x : loop { }");
    }

    #[test]
    fn tests_are_left_out() {
        let text = "use a; #[cfg(test)] mod tests; #[cfg(test)] #[x] mod more { fn f() {} } use b;";
        let (kept, modules) = without_tests(&tokens(text));
        assert_eq!(kept.join(" "), "use a ; use b ;");
        assert_eq!(modules, ["tests", "more"]);
        let (kept, modules) =
            without_tests(&tokens("#[cfg(test)] fn f([u8; 2]) { g(); } #[cfg(x)] h;"));
        assert_eq!(kept.join(" "), "# [ cfg ( x ) ] h ;");
        assert!(modules.is_empty());
    }
}
