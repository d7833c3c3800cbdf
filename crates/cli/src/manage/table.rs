//! Rows with columns of one width.

use avouch_core::reason::printable;
use serde_json::Value;

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

fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widths = cells.map(|cell| cell.chars().count());
        widths.max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => printable(text),
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
    fn what_comes_from_outside_cannot_write_on_the_terminal() {
        let drawn = table(&[("A", "a")], &[json!({"a": "\u{1b}[2J"})]);
        assert!(!drawn.contains('\u{1b}'));
    }
}
