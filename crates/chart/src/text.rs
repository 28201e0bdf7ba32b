//! Text in pictures: how wide it is, where it breaks, and how numbers are written.
//!
//! The reader's font is not known, only that it is a sans-serif. Widths are those of the widest that is common (DejaVu
//! Sans, Verdana), so that what has room here has room everywhere.

/// The width of a text in pixels, at a font size in pixels.
pub(crate) fn width(text: &str, size: f64) -> f64 {
    text.chars().map(|c| em(c) * size).sum()
}

/// The width of a character in em, rounded up.
fn em(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | '\'' | '|' => 0.32,
        ' ' | '\u{a0}' | ',' | '.' | ':' | ';' | '!' | 'I' | '/' | '\\' | '-' | '(' | ')' | 'f' | 't' | 'r' | '·' => {
            0.43
        }
        'm' | 'w' | 'W' | 'M' | '%' | '@' | '…' | '—' | 'Q' | 'O' | 'G' | 'D' | 'N' | 'H' | 'U' => 1.0,
        '+' | '=' | '<' | '>' | '≥' | '≤' => 0.84,
        c if c.is_ascii() => 0.69,
        _ => 1.0,
    }
}

/// The text, with its middle left out if it is wider than `room`.
pub(crate) fn fit(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.into();
    }
    let chars: Vec<char> = text.chars().collect();
    let mut kept = chars.len();
    while kept > 1 {
        kept = kept.saturating_sub(1);
        let head = kept.div_ceil(2);
        let tail = chars.len().saturating_sub(kept / 2);
        let start = chars.iter().take(head);
        let short: String = start.chain(['…'].iter()).chain(chars.iter().skip(tail)).collect();
        if width(&short, size) <= room {
            return short;
        }
    }
    "…".into()
}

/// The lines of a text that is `room` wide. A word that is wider by itself is broken; of more than `lines_max` lines the
/// last one ends with an ellipsis.
pub(crate) fn wrap(text: &str, size: f64, room: f64, lines_max: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_ascii_whitespace() {
        let joined = if line.is_empty() { word.into() } else { format!("{line} {word}") };
        if width(&joined, size) <= room {
            line = joined;
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for c in word.chars() {
            line.push(c);
            if width(&line, size) > room && line.chars().nth(1).is_some() {
                line.pop();
                lines.push(std::mem::replace(&mut line, c.into()));
            }
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    if lines.len() > lines_max {
        lines.truncate(lines_max);
        if let Some(last) = lines.last_mut() {
            last.push_str(" …");
            while width(last, size) > room && last.chars().nth(2).is_some() {
                let kept: Vec<char> = last.chars().collect();
                *last = kept.iter().take(kept.len().saturating_sub(3)).chain([' ', '…'].iter()).collect();
            }
        }
    }
    lines
}

/// A number with its digits in groups of three.
#[must_use]
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && digits.len().saturating_sub(index).is_multiple_of(3) {
            grouped.push('\u{a0}');
        }
        grouped.push(digit);
    }
    grouped
}

/// A share or rate in basis points as percent, exact and without zeros at the end.
#[must_use]
pub fn rate(bps: u64) -> String {
    let (whole, rest) = (bps / 100, bps % 100);
    let fraction = match (rest, rest % 10) {
        (0, _) => String::new(),
        (_, 0) => format!(".{}", rest / 10),
        (_, _) => format!(".{rest:02}"),
    };
    format!("{}{fraction}\u{a0}%", number(whole))
}

/// Text that XML can hold: control characters and the two non-characters are replaced.
pub(crate) fn clean(text: &str) -> String {
    let is_allowed = |c: char| !(c.is_control() || c == '\u{fffe}' || c == '\u{ffff}');
    text.chars().map(|c| if is_allowed(c) { c } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_rates_exact() {
        for (value, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1\u{a0}000"),
            (u64::MAX, "18\u{a0}446\u{a0}744\u{a0}073\u{a0}709\u{a0}551\u{a0}615"),
        ] {
            assert_eq!(number(value), text);
        }
        for (bps, text) in
            [(0, "0"), (1, "0.01"), (50, "0.5"), (100, "1"), (118, "1.18"), (10_000, "100"), (205, "2.05")]
        {
            assert_eq!(rate(bps), format!("{text}\u{a0}%"));
        }
    }

    #[test]
    fn texts_fit_their_room() {
        let name = "a".repeat(64);
        for (text, room, lines_max) in [
            ("rolled back: 1.18 % of errors are above 1 %", 120.0, 9),
            ("rolled back: 1.18 % of errors are above 1 %", 120.0, 2),
            (name.as_str(), 100.0, 9),
            (name.as_str(), 100.0, 1),
            ("", 100.0, 1),
            ("wide", 1.0, 9),
        ] {
            let lines = wrap(text, 12.0, room, lines_max);
            assert!(lines.len() <= lines_max, "{lines:?}");
            assert!(lines.iter().all(|line| width(line, 12.0) <= room || line.chars().count() <= 3), "{lines:?}");
            let fitted = fit(text, 12.0, room);
            assert!(width(&fitted, 12.0) <= room || fitted == "…", "{fitted}");
        }
        assert_eq!(fit("short", 12.0, 100.0), "short");
        assert_eq!(fit("abcdefghij", 10.0, 40.0), "abc…ij");
        assert_eq!(wrap("one two", 10.0, 30.0, 3), ["one", "two"]);
    }

    #[test]
    fn what_xml_cannot_hold_is_replaced() {
        assert_eq!(clean("a\u{0}b\tc\u{fffe}d"), "a\u{fffd}b\u{fffd}c\u{fffd}d");
    }
}
