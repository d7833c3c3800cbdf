//! Rows with columns of one width. On a terminal they are as wide as it is at most: a cell that is too
//! long goes on below itself. What is written to a file or to another program keeps a line a row.

use avouch_core::reason::printable;
use serde_json::Value;

use crate::output;
use crate::render::wrap;

/// A column: its head, and the member that it shows.
pub(super) type Column = (&'static str, &'static str);

/// Draws objects as rows. What an object does not say is a hyphen.
pub(super) fn table(columns: &[Column], objects: &[Value]) -> String {
    let head: Vec<String> = columns.iter().map(|(head, _)| (*head).to_owned()).collect();
    let rows = objects.iter().map(|object| {
        let cells = columns.iter().map(|(_, member)| cell(object.get(*member)));
        cells.collect()
    });
    let all: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    aligned(&all)
}

/// Draws one object, a member a line.
pub(super) fn members(columns: &[Column], object: &Value) -> String {
    let said = columns.iter().filter_map(|(head, member)| {
        let value = object.get(*member)?;
        Some(vec![(*head).to_owned(), cell(Some(value))])
    });
    aligned(&said.collect::<Vec<_>>())
}

/// No column is made narrower than this.
const NARROWEST: usize = 12;

/// What stands between columns.
const GAP: &str = "  ";

fn aligned(rows: &[Vec<String>]) -> String {
    aligned_within(rows, output::columns())
}

fn aligned_within(rows: &[Vec<String>], most: Option<usize>) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widths = cells.map(|cell| cell.chars().count());
        widths.max().unwrap_or_default()
    };
    let longest_word = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let words = cells.flat_map(|cell| cell.split(' '));
        words
            .map(|word| word.chars().count())
            .max()
            .unwrap_or_default()
    };
    let mut widths: Vec<(usize, usize)> = (0..columns)
        .map(|column| (width(column), longest_word(column)))
        .collect();
    if let Some(most) = most {
        narrow(&mut widths, most);
    }
    let widths: Vec<usize> = widths.into_iter().map(|(width, _)| width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths);
        let cells: Vec<Vec<String>> = cells
            .map(|(cell, width)| match most {
                Some(_) => wrap(cell, *width, 0),
                None => vec![cell.clone()],
            })
            .collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or_default();
        let mut lines: Vec<_> = cells.iter().map(|cell| cell.iter()).collect();
        for _ in 0..height {
            let parts = lines.iter_mut().zip(&widths).map(|(lines, width)| {
                let part = lines.next().map_or("", String::as_str);
                format!("{part:<width$}")
            });
            let line = parts.collect::<Vec<_>>().join(GAP);
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text
}

/// Takes from the widest columns until all fit, as far as their words do.
fn narrow(widths: &mut [(usize, usize)], most: usize) {
    let gaps = widths.len().saturating_sub(1) * GAP.len();
    loop {
        let whole = widths.iter().map(|(width, _)| width).sum::<usize>() + gaps;
        let widest = widths
            .iter_mut()
            .filter(|(width, word)| *width > (*word).max(NARROWEST))
            .max();
        match widest {
            Some((width, _)) if whole > most => *width -= 1,
            Some(_) | None => return,
        }
    }
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => printable(text),
        Some(Value::Array(list)) if list.is_empty() => "-".to_owned(),
        Some(Value::Array(list)) => {
            let parts: Vec<String> = list.iter().map(|one| cell(Some(one))).collect();
            parts.join(", ")
        }
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(value @ (Value::Number(_) | Value::Object(_))) => printable(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            json!({"a": "x", "b": ["1", "2"]}),
            json!({"a": "long", "c": 1}),
        ];
        let drawn = table(&[("A", "a"), ("BEE", "b")], &rows);
        assert_eq!(drawn, "A     BEE\nx     1, 2\nlong  -\n");
    }

    #[test]
    fn what_is_too_wide_for_a_terminal_goes_on_below_itself() {
        let rows = [
            vec!["A".to_owned(), "B".to_owned()],
            vec!["x".to_owned(), "one two three four five six".to_owned()],
        ];
        let drawn = aligned_within(&rows, Some(20));
        assert_eq!(drawn, "A  B\nx  one two three\n   four five six\n");
        // Elsewhere a row is a line.
        assert_eq!(aligned_within(&rows, None).lines().count(), 2);
        // A word is never broken: it may have to be copied.
        let long = "w".repeat(40);
        let drawn = aligned_within(&[vec!["a".to_owned(), long.clone()]], Some(20));
        assert_eq!(drawn, format!("a  {long}\n"));
    }

    #[test]
    fn what_comes_from_outside_cannot_write_on_the_terminal() {
        let drawn = table(&[("A", "a")], &[json!({"a": "\u{1b}[2J"})]);
        assert!(!drawn.contains('\u{1b}'));
    }
}
