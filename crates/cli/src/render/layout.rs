//! Lines: colours, wrapping, ladders.

/// As wide as a line may be, in characters.
pub(crate) const WIDTH: usize = 100;

/// Whether to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    colours: bool,
}

impl Style {
    /// With colours or without.
    pub fn new(colours: bool) -> Self {
        Self { colours }
    }

    /// A fault, as the last line of a run that failed.
    pub fn fault(self, message: &str) -> String {
        format!("{}: {message}", self.bad("error"))
    }

    /// What was done and may not be as it was meant.
    pub fn warning(self, message: &str) -> String {
        format!("{}: {message}", self.unsure("warning"))
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.paint("32;1", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.paint("31;1", text)
    }

    pub(crate) fn unsure(self, text: &str) -> String {
        self.paint("33;1", text)
    }

    pub(crate) fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// A select graphic rendition (ECMA-48 8.3.117) around a text.
    fn paint(self, rendition: &str, text: &str) -> String {
        if self.colours {
            format!("\u{1b}[{rendition}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Lines in the making.
pub(crate) struct Page {
    text: String,
    pub(crate) style: Style,
}

impl Page {
    pub(crate) fn new(style: Style) -> Self {
        Self {
            text: String::new(),
            style,
        }
    }

    /// The lines, each with its line break.
    pub(crate) fn finish(self) -> String {
        self.text
    }

    /// One line as it is.
    pub(crate) fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// An empty line.
    pub(crate) fn gap(&mut self) {
        self.text.push('\n');
    }

    /// A painted word, a text that begins behind it, and more lines of it under the word.
    pub(crate) fn headline(&mut self, word: &str, painted: &str, text: &str) {
        let mut lines = wrap(&format!("{word}: {text}"), WIDTH, 2).into_iter();
        let first = lines.next().unwrap_or_default();
        let rest = first.strip_prefix(word).unwrap_or_default();
        self.line(&format!("{painted}{rest}"));
        for line in lines {
            self.line(&line);
        }
    }

    /// A text behind a margin, wrapped so that further lines hang under the first word.
    pub(crate) fn hanging(&mut self, margin: &str, painted: &str, text: &str) {
        let indent = margin.chars().count();
        let lines = wrap(text, WIDTH.saturating_sub(indent), 0);
        for (index, line) in lines.iter().enumerate() {
            if index == 0 {
                self.line(&format!("{painted}{line}"));
            } else {
                self.line(&format!("{:indent$}{line}", ""));
            }
        }
    }

    /// A name in a column of its own and a text beside it.
    pub(crate) fn field(&mut self, indent: usize, column: usize, name: &str, text: &str) {
        let margin = format!("{:indent$}{name:<column$}  ", "");
        let painted = format!(
            "{:indent$}{}  ",
            "",
            self.style.faint(&format!("{name:<column$}"))
        );
        self.hanging(&margin, &painted, text);
    }

    /// A remark below a diagnostic: `= name: text`.
    pub(crate) fn remark(&mut self, name: &str, text: &str) {
        let margin = format!("   = {name}: ");
        let painted = format!("   {} {}: ", self.style.faint("="), self.style.strong(name));
        self.hanging(&margin, &painted, text);
    }
}

/// The branch that leads to a step of a ladder, which is so many steps down.
pub(crate) fn branch(depth: usize) -> String {
    match depth.checked_sub(1) {
        None => String::new(),
        Some(above) => format!("{}└─ ", "   ".repeat(above)),
    }
}

/// How many of something, in words.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Breaks a text between words. Further lines are indented; a word longer than a line stays whole,
/// since it may have to be copied.
pub(crate) fn wrap(text: &str, width: usize, indent: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut length = 0;
    for word in text.split(' ') {
        let word_length = word.chars().count();
        if length > 0 && length + 1 + word_length > width && !line.trim().is_empty() {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
            length = indent;
            line.push_str(word);
            length += word_length;
            continue;
        }
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        line.push_str(word);
        length += word_length;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_broken_between_words_and_hangs_under_its_first() {
        let mut page = Page::new(Style::new(false));
        page.remark("fix", &"word ".repeat(30));
        for line in page.finish().lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
            assert!(line.starts_with("   = fix: word") || line.starts_with("          word"));
        }
    }

    #[test]
    fn a_word_longer_than_a_line_stays_whole() {
        let long = "x".repeat(150);
        assert_eq!(wrap(&format!("a {long} b"), 100, 2).len(), 3);
        assert!(
            wrap(&format!("a {long} b"), 100, 2)
                .iter()
                .any(|line| line.contains(&long))
        );
    }

    #[test]
    fn without_colours_there_are_no_escapes() {
        assert_eq!(Style::new(false).bad("no"), "no");
        assert_eq!(Style::new(true).bad("no"), "\u{1b}[31;1mno\u{1b}[0m");
    }
}
