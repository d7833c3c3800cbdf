//! Who vouches for whom in a verdict, as a graph: each path from the credential up to where it ends, which
//! is a trust anchor where it holds, and the reason for which it failed where it does not. For Graphviz
//! (DOT), or as SVG.

use std::fmt::Write;

use avouch_core::reason::printable_sentence;
use serde_json::Value;

use super::svg::{ARROW, escaped, shortened};

/// The most paths that are drawn; of a credential made to have thousands, the first tell as much.
const MOST_PATHS: usize = 16;

/// The paths of a verdict and of its legs.
#[derive(Debug)]
pub(crate) struct Graph {
    title: String,
    paths: Vec<Path>,
    /// How many more there are.
    left_out: u64,
}

#[derive(Debug)]
struct Path {
    /// Whose credential it is, or what a leg of a hybrid asks.
    of: String,
    /// Who vouches for that, who for them, and so on.
    steps: Vec<Step>,
    end: End,
}

#[derive(Debug)]
struct Step {
    by: String,
    /// What tells authorities of one name apart.
    key_id: String,
    how: String,
}

#[derive(Debug)]
enum End {
    Anchor { name: String },
    Stopped { code: String, sentence: String },
}

impl Graph {
    /// Of a verdict as it is told (docs/how-to/verify.md).
    pub(crate) fn of(verdict: &Value) -> Self {
        let mut graph = Self {
            title: title(verdict),
            paths: Vec::new(),
            left_out: 0,
        };
        graph.add(verdict);
        graph.paths.extend(list(verdict, "legs").iter().map(leg));
        let more = graph.paths.len().saturating_sub(MOST_PATHS);
        graph.paths.truncate(MOST_PATHS);
        graph.left_out += more as u64;
        graph
    }

    fn add(&mut self, verdict: &Value) {
        let steps = steps_of(verdict);
        if let Some(anchor) = verdict.get("anchor").filter(|anchor| anchor.is_object()) {
            let name =
                text(anchor, "name").unwrap_or_else(|| "an anchor without a name".to_owned());
            self.paths.push(Path {
                of: first_of(verdict).unwrap_or_else(|| subject(verdict)),
                steps,
                end: End::Anchor { name },
            });
        }
        let attempts = list(verdict, "attempts");
        self.paths.extend(attempts.iter().map(|attempt| {
            Path {
                of: first_of(attempt)
                    .or_else(|| text(attempt, "stopped_at"))
                    .unwrap_or_else(|| subject(verdict)),
                steps: steps_of(attempt),
                end: stop(attempt),
            }
        }));
        // What cannot be read at all has no attempt.
        if attempts.is_empty() && verdict.get("reason").is_some_and(Value::is_object) {
            self.paths.push(Path {
                of: subject(verdict),
                steps: Vec::new(),
                end: stop(verdict),
            });
        }
        let left_out = verdict.get("attempts_left_out").and_then(Value::as_u64);
        self.left_out += left_out.unwrap_or_default();
    }

    /// In the language of Graphviz. Whoever stands on several paths is one node.
    pub(crate) fn to_dot(&self) -> String {
        let mut nodes = Nodes::default();
        let mut edges = String::new();
        for path in &self.paths {
            let mut below = nodes.of(&path.of, "");
            for step in &path.steps {
                let above = nodes.of(&step.by, &step.key_id);
                let how = quoted(&[step.how.as_str()]);
                nodes.edge(&mut edges, above, below, &format!("label={how}"));
                below = above;
            }
            let (end, drawn) = match &path.end {
                End::Anchor { name } => {
                    let lines = ["trust anchor", name];
                    (quoted(&lines), "shape=box, peripheries=2")
                }
                End::Stopped { code, sentence } => {
                    let lines = [code, sentence.as_str()];
                    (quoted(&lines), "shape=note, color=red, style=dashed")
                }
            };
            let end = nodes.add(&format!("label={end}, {drawn}"));
            let line = match path.end {
                End::Anchor { .. } => "style=bold",
                End::Stopped { .. } => "style=dashed, color=red, arrowhead=none",
            };
            nodes.edge(&mut edges, end, below, line);
        }
        let title = quoted(&[&self.title, &self.rest()]);
        format!(
            "digraph verdict {{\n  label={title};\n  labelloc=t;\n{}{edges}}}\n",
            nodes.drawn
        )
    }

    /// As a picture that stands alone, each path in a column of its own, its end above.
    pub(crate) fn to_svg(&self) -> String {
        const COLUMN: usize = 270;
        const BOX: usize = 240;
        const ROW: usize = 84;
        const HEAD: usize = 60;
        let longest = self.paths.iter().map(|path| path.steps.len()).max();
        let rows = longest.unwrap_or_default() + 2;
        let (wide, high) = (
            20 + COLUMN * self.paths.len().max(2),
            HEAD + ROW * rows + 10,
        );
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {wide} {high}\" role=\"img\" \
             font-family=\"sans-serif\" font-size=\"11\">\n<title>{}</title>\n{ARROW}<text x=\"10\" \
             y=\"22\" font-weight=\"bold\" font-size=\"13\">{}</text>\n<text x=\"10\" y=\"40\">{}</text>\n",
            escaped(&self.title),
            escaped(&shortened(&self.title, 90)),
            escaped(&self.rest()),
        );
        for (number, path) in self.paths.iter().enumerate() {
            let left = 10 + number * COLUMN;
            let middle = left + BOX / 2;
            let top = |row: usize| HEAD + ROW * (rows - 1 - row);
            let node = |row: usize, lines: [&str; 2], hint: &str, stroke: &str| {
                let top = top(row);
                format!(
                    "<g class=\"node\"><title>{}</title><rect x=\"{left}\" y=\"{top}\" width=\"{BOX}\" \
                     height=\"44\" rx=\"6\" fill=\"white\" stroke=\"{stroke}\"/><text x=\"{middle}\" \
                     y=\"{}\" text-anchor=\"middle\" font-weight=\"bold\">{}</text><text x=\"{middle}\" \
                     y=\"{}\" text-anchor=\"middle\">{}</text></g>\n",
                    escaped(hint),
                    top + 18,
                    escaped(&shortened(lines[0], 32)),
                    top + 34,
                    escaped(&shortened(lines[1], 34)),
                )
            };
            let edge = |row: usize, how: &str, drawn: &str| {
                format!(
                    "<g class=\"edge\"><title>{how}</title><path d=\"M{middle} {}V{}\" fill=\"none\" \
                     {drawn}/><text x=\"{}\" y=\"{}\">{how}</text></g>\n",
                    top(row + 1) + 44,
                    top(row),
                    middle + 6,
                    top(row) - 14,
                    how = escaped(how),
                )
            };
            svg.push_str(&node(0, [&path.of, "the credential"], &path.of, "black"));
            for (row, step) in path.steps.iter().enumerate() {
                let key = match step.key_id.is_empty() {
                    true => String::new(),
                    false => format!("key {}", step.key_id),
                };
                svg.push_str(&node(row + 1, [&step.by, &key], &step.by, "black"));
                let drawn = "stroke=\"black\" marker-end=\"url(#to)\"";
                svg.push_str(&edge(row, &step.how, drawn));
            }
            let last = path.steps.len() + 1;
            match &path.end {
                End::Anchor { name } => {
                    svg.push_str(&node(last, [name, "trust anchor"], name, "green"));
                    let drawn = "stroke=\"green\" stroke-width=\"2\" marker-end=\"url(#to)\"";
                    svg.push_str(&edge(last - 1, "believed", drawn));
                }
                End::Stopped { code, sentence } => {
                    svg.push_str(&node(last, [code, sentence], sentence, "red"));
                    let drawn = "stroke=\"red\" stroke-dasharray=\"4 3\"";
                    svg.push_str(&edge(last - 1, "", drawn));
                }
            }
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn rest(&self) -> String {
        match self.left_out {
            0 => String::new(),
            more => format!("and {more} more paths, which are not drawn"),
        }
    }
}

/// Nodes as they are found, each once.
#[derive(Default)]
struct Nodes {
    /// Those with a name, by that and the key.
    known: Vec<(String, String, usize)>,
    drawn: String,
    count: usize,
    /// The edges that are there already: a path may share its lower part with another.
    joined: Vec<(usize, usize, String)>,
}

impl Nodes {
    /// The node of this name and key.
    fn of(&mut self, name: &str, key_id: &str) -> usize {
        let mut known = self.known.iter();
        if let Some((.., number)) = known.find(|(one, key, _)| one == name && key == key_id) {
            return *number;
        }
        let key = match key_id.is_empty() {
            true => String::new(),
            false => format!("key {key_id}"),
        };
        let number = self.add(&format!("label={}, shape=box", quoted(&[name, &key])));
        self.known
            .push((name.to_owned(), key_id.to_owned(), number));
        number
    }

    fn add(&mut self, attributes: &str) -> usize {
        let number = self.count;
        self.count += 1;
        let _ = writeln!(self.drawn, "  n{number} [{attributes}];");
        number
    }

    fn edge(&mut self, edges: &mut String, from: usize, to: usize, attributes: &str) {
        let this = (from, to, attributes.to_owned());
        if !self.joined.contains(&this) {
            let _ = writeln!(edges, "  n{from} -> n{to} [{attributes}];");
            self.joined.push(this);
        }
    }
}

/// Lines as a quoted string of DOT, in which nothing of them means anything: no quote, no escape, and no
/// entity of HTML, which Graphviz reads in such strings too.
fn quoted(lines: &[&str]) -> String {
    let lines = lines.iter().filter(|line| !line.is_empty());
    let lines: Vec<String> = lines
        .map(|line| {
            let line = printable_sentence(line).replace('&', "&amp;");
            line.replace('\\', "\\\\").replace('"', "\\\"")
        })
        .collect();
    format!("\"{}\"", lines.join("\\n"))
}

/// A leg of a hybrid: of what it asks, where that ended.
fn leg(leg: &Value) -> Path {
    let said = |name: &str| text(leg, name).unwrap_or_default();
    let end = match said("verdict").as_str() {
        "accept" => End::Anchor {
            name: said("ends_at"),
        },
        "not_reached" => End::Stopped {
            code: "not reached".to_owned(),
            sentence: said("ends_at"),
        },
        _ => stop(leg),
    };
    Path {
        of: said("what"),
        steps: Vec::new(),
        end,
    }
}

fn title(verdict: &Value) -> String {
    let word = text(verdict, "verdict").unwrap_or_else(|| "undetermined".to_owned());
    format!("{word}: {}", subject(verdict))
}

/// Whose credential it is, as far as that is known.
fn subject(verdict: &Value) -> String {
    let identity = verdict.get("identity");
    let identity = identity.and_then(|identity| text(identity, "name"));
    let attempt = list(verdict, "attempts").first().and_then(first_of);
    let known = identity.or_else(|| first_of(verdict)).or(attempt);
    known.unwrap_or_else(|| "the credential".to_owned())
}

fn first_of(path: &Value) -> Option<String> {
    text(list(path, "path").first()?, "vouches_for")
}

fn steps_of(path: &Value) -> Vec<Step> {
    let steps = list(path, "path").iter().map(|step| {
        let said = |name: &str| text(step, name).unwrap_or_default();
        Step {
            by: said("by"),
            key_id: said("key_id"),
            how: said("how"),
        }
    });
    steps.collect()
}

fn stop(of: &Value) -> End {
    let reason = of.get("reason");
    let said = |name: &str| reason.and_then(|reason| text(reason, name));
    End::Stopped {
        code: said("code").unwrap_or_else(|| "stopped".to_owned()),
        sentence: said("sentence").unwrap_or_default(),
    }
}

fn list<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    of.get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn text(of: &Value, name: &str) -> Option<String> {
    of.get(name)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn step(of: &str, by: &str, key: &str) -> Value {
        json!({"vouches_for": of, "by": by, "how": "x509", "key_id": key})
    }

    fn refused() -> Value {
        let reason = |code: &str| json!({"code": code, "sentence": "It \"ended\" <here>."});
        json!({
            "verdict": "reject", "identity": null, "anchor": null, "path": [],
            "reason": reason("pki.expired"), "attempts_left_out": 3,
            "attempts": [
                {"path": [step("leaf", "Issuing", "aa"), step("Issuing", "Root", "bb")],
                 "stopped_at": "Root", "reason": reason("pki.expired")},
                {"path": [step("leaf", "Issuing", "aa"), step("Issuing", "Root", "cc")],
                 "stopped_at": "Root", "reason": reason("pki.anchor_expired")},
            ],
        })
    }

    #[test]
    fn what_paths_share_is_drawn_once_and_keys_tell_names_apart() {
        let dot = Graph::of(&refused()).to_dot();
        assert_eq!(dot.matches("label=\"leaf\"").count(), 1, "{dot}");
        assert_eq!(
            dot.matches("label=\"Issuing\\nkey aa\"").count(),
            1,
            "{dot}"
        );
        assert_eq!(dot.matches("label=\"Root\\nkey ").count(), 2, "{dot}");
        // Leaf below the one issuer, that below two roots, and each of these below its end.
        assert_eq!(dot.matches(" -> ").count(), 5, "{dot}");
        assert!(
            dot.contains("pki.expired\\nIt \\\"ended\\\" <here>."),
            "{dot}"
        );
        assert!(dot.contains("and 3 more paths"), "{dot}");
    }

    #[test]
    fn a_path_that_holds_ends_at_its_anchor() {
        let verdict = json!({
            "verdict": "accept", "identity": {"name": "db.example.com"},
            "anchor": {"name": "Root"}, "path": [step("leaf", "Root", "aa")], "attempts": [],
            "legs": [
                {"what": "the host's key", "verdict": "accept", "ends_at": "CA"},
                {"what": "the user's", "verdict": "not_reached", "ends_at": "the server"},
            ],
        });
        let graph = Graph::of(&verdict);
        let dot = graph.to_dot();
        assert!(dot.contains("label=\"accept: db.example.com\""), "{dot}");
        assert!(
            dot.contains("\"trust anchor\\nRoot\", shape=box, peripheries=2"),
            "{dot}"
        );
        assert!(dot.contains("not reached\\nthe server"), "{dot}");
        let svg = graph.to_svg();
        assert_eq!(svg.matches("class=\"node\"").count(), 3 + 2 + 2, "{svg}");
        assert_eq!(svg.matches("class=\"edge\"").count(), 2 + 1 + 1, "{svg}");
    }

    #[test]
    fn nothing_from_outside_means_anything_in_a_picture() {
        let svg = Graph::of(&refused()).to_svg();
        assert!(
            svg.contains("&lt;here&gt;") && !svg.contains("<here>"),
            "{svg}"
        );
        let hostile = json!({
            "verdict": "reject", "attempts": [],
            "reason": {"code": "x", "sentence": "a\\\"];\nn9 [b\u{1b}\u{202e}&#8238;"},
        });
        let dot = Graph::of(&hostile).to_dot();
        assert_eq!(dot.lines().count(), 7, "{dot}");
        assert!(!dot.contains(['\u{1b}', '\u{202e}']), "{dot}");
        assert!(dot.contains("&amp;#8238;"), "{dot}");
    }

    #[test]
    fn of_thousands_of_paths_some_are_drawn() {
        let attempts = vec![json!({"path": [step("leaf", "Root", "aa")]}); 5_000];
        let verdict = json!({"verdict": "reject", "attempts": attempts});
        let graph = Graph::of(&verdict);
        assert_eq!((graph.paths.len(), graph.left_out), (MOST_PATHS, 4_984));
    }
}
