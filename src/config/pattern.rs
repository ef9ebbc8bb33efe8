//! Patterns over the names of parameters.

/// Whether `pattern` is all of `name`: `*` stands for any characters, `?` for one.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // The last star, and the first character after those that it stands for.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => {
                let Some((at, end)) = star else { return false };
                star = Some((at, end + 1));
                (p, n) = (at + 1, end + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_and_question_marks_match() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*", "layer.0.weight", true),
            ("*.weight", "layer.0.weight", true),
            ("*.weight", "layer.0.bias", false),
            ("layer.?.weight", "layer.0.weight", true),
            ("layer.?.weight", "layer.10.weight", false),
            ("l*r.*.w*t", "layer.0.weight", true),
            ("*a*b", "aab", true),
            ("*a*b", "aba", false),
            ("a", "aa", false),
            ("", "", true),
            ("?", "", false),
            ("?", "é", true),
            ("[a]", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} and {name}");
        }
    }
}
