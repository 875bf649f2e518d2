//! Texts of others as Markdown: whatever they hold, they stay in their place, link nowhere and call nobody.

/// A zero-width space. GitHub looks for mentions and references in the rendered text, where an escape is gone already:
/// only another character in between keeps it from finding one.
const BREAK: &str = "&#8203;";

/// The longest hexadecimal number that is not taken for the id of a commit.
const PIECE: usize = 6;

/// A text as a code span where that shows it as it is, else as plain text.
pub(super) fn code(text: &str) -> String {
    let text = visible(text);
    // No escape works inside a code span, and a table is cut at a pipe before code is looked for.
    if text.is_empty() || text.contains(['`', '<', '|']) { escape(&text) } else { format!("`{text}`") }
}

/// A text as plain text.
pub(super) fn plain(text: &str) -> String {
    escape(&visible(text))
}

/// The first characters of a text.
pub(super) fn shorten(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A number with its noun: `1 model`, `2 models`.
pub(super) fn counted(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Lines up to a number of characters, and how many are left out.
pub(super) fn fitting(lines: impl IntoIterator<Item = String>, chars: usize) -> (Vec<String>, usize) {
    let mut lines = lines.into_iter();
    let (mut kept, mut used) = (Vec::new(), 0);
    while let Some(line) = lines.next() {
        used += line.chars().count() + 1;
        if used > chars {
            return (kept, 1 + lines.count());
        }
        kept.push(line);
    }
    (kept, 0)
}

/// One line in which every character can be seen: what turns the direction of a text, or hides in it, is named.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_whitespace() {
            if !out.ends_with(' ') {
                out.push(' ');
            }
        } else if c.is_control() || is_hidden(c) {
            out.push_str(&format!("(U+{:04X})", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out.trim().to_owned()
}

fn is_hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

fn escape(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut commit = 0..0;
    for (at, &c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| chars.get(at)).copied();
        let next = chars.get(at + 1).copied();
        if c == '.' && ends_with(&chars[..at], "www") {
            out.push_str(BREAK);
        }
        // At the beginning of an item anything may begin a list, a heading or a rule.
        let begins_something = at == 0 && (c.is_ascii_punctuation() || c.is_ascii_digit());
        if begins_something || "&<>\\`*_[]|~$".contains(c) {
            out.push_str(&format!("&#{};", u32::from(c)));
        } else {
            out.push(c);
        }
        if !before.is_some_and(char::is_alphanumeric) {
            commit = at..at + commit_length(&chars[at..]);
        }
        let links = match c {
            '@' | '#' => true,
            ':' => next.is_some_and(|next| next.is_ascii_alphabetic() || "/+-".contains(next)),
            '-' => ends_with(&chars[..at], "gh"),
            _ => commit.contains(&at) && (at - commit.start) % PIECE == PIECE - 1,
        };
        if links {
            out.push_str(BREAK);
        }
    }
    out
}

fn ends_with(chars: &[char], word: &str) -> bool {
    chars.len() >= word.len() && chars.iter().rev().zip(word.chars().rev()).all(|(c, w)| c.eq_ignore_ascii_case(&w))
}

/// How much of a text's beginning GitHub may take for the id of a commit.
fn commit_length(chars: &[char]) -> usize {
    let length = chars.iter().take_while(|c| c.is_ascii_hexdigit()).count();
    let is_word = !chars.get(length).is_some_and(|c| c.is_alphanumeric());
    if is_word && length > PIECE { length } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_links_and_nothing_breaks_out() {
        for (text, shown) in [
            ("plain text, as it is", "plain text, as it is"),
            ("<script>", "&#60;script&#62;"),
            ("a | b", "a &#124; b"),
            ("ask @ann", "ask @&#8203;ann"),
            ("@ann", "&#64;&#8203;ann"),
            ("see #12 and x/y#12", "see #&#8203;12 and x/y#&#8203;12"),
            ("GH-12", "GH-&#8203;12"),
            ("at https://x.example", "at https:&#8203;//x.example"),
            ("at www.x.example", "at www&#8203;.x.example"),
            ("of b6d1853", "of b6d185&#8203;3"),
            ("of b6d1853b6d1853", "of b6d185&#8203;3b6d18&#8203;53"),
            ("- item\n# title", "&#45; item #&#8203; title"),
            ("1. one", "&#49;. one"),
            ("*a* _b_ [c](d)", "&#42;a&#42; &#95;b&#95; &#91;c&#93;(d)"),
            ("x\u{202e}y\u{0}", "x(U+202E)y(U+0000)"),
            ("  ", ""),
        ] {
            assert_eq!(plain(text), shown, "{text}");
        }
        assert_eq!(code("org/model@1"), "`org/model@1`");
        assert_eq!(code("a`b"), "a&#96;b");
        assert_eq!(code("a|b"), "a&#124;b");
    }

    #[test]
    fn lines_are_kept_or_counted() {
        let lines = || ["aa", "bb", "cc"].map(str::to_owned);
        assert_eq!(fitting(lines(), 9), (lines().to_vec(), 0));
        assert_eq!(fitting(lines(), 8), (lines()[..2].to_vec(), 1));
        assert_eq!(fitting(lines(), 0), (vec![], 3));
        assert_eq!(shorten("äöü", 2), "äö…");
        assert_eq!(shorten("äöü", 3), "äöü");
    }
}
