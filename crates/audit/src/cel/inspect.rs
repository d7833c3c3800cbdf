//! What an expression looks for in claims, and how.

use cel::common::ast::operators;
use regex_syntax::hir::Look;

use super::value::Value;
use super::{Expression, Fold};
use crate::glob::Glob;
use crate::judge::MANY;
use crate::wish::{Want, Wish};

/// Finds the claim that a path of an expression means, if it is one.
pub(crate) type Paths<'a> = &'a dyn Fn(&[String]) -> Option<Vec<String>>;

/// What was found in an expression.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inspection {
    /// What claims should be.
    pub(crate) wishes: Vec<Wish>,
    /// Claims of which some values are excluded.
    pub(crate) avoided: Vec<Vec<String>>,
    /// The texts in it.
    pub(crate) texts: Vec<String>,
    /// Regular expressions that match anywhere: the call, the claim, the expression.
    pub(crate) unanchored: Vec<Unanchored>,
    /// Claims that are read without asking first whether they are there.
    pub(crate) unguarded: Vec<Vec<String>>,
    /// Claims that are asked for with `has`.
    pub(crate) guarded: Vec<Vec<String>>,
    /// The most steps that it may take, whatever the claims are.
    pub(crate) worst: u64,
    /// Claims whose elements are gone through.
    pub(crate) looped: Vec<Vec<String>>,
}

/// A regular expression that does not have to match a whole text.
#[derive(Clone, Debug)]
pub(crate) struct Unanchored {
    pub(crate) call: String,
    pub(crate) claim: Option<Vec<String>>,
    pub(crate) at_start: bool,
    pub(crate) at_end: bool,
}

impl Inspection {
    pub(crate) fn of(expression: &Expression, paths: Paths<'_>) -> Self {
        let mut inspection = Self {
            worst: expression.worst(),
            ..Self::default()
        };
        inspection.wish(expression, true, paths);
        inspection.look(expression, paths);
        inspection
    }

    /// What an expression asks for so that it holds, or so that it does not. Of alternatives all are taken
    /// down, one of which will do.
    fn wish(&mut self, expression: &Expression, holds: bool, paths: Paths<'_>) {
        let claim = |expression: &Expression| expression.path().and_then(|path| paths(&path));
        match expression {
            Expression::Not(of) => self.wish(of, !holds, paths),
            Expression::And(one, other) | Expression::Or(one, other) => {
                let is_both = holds == matches!(expression, Expression::And(..));
                let before = self.wishes.len();
                self.wish(one, holds, paths);
                let after = self.wishes.len();
                self.wish(other, holds, paths);
                if !is_both {
                    self.merge(before, after);
                }
            }
            Expression::Call {
                name,
                target: None,
                arguments,
            } if name == operators::NOT_EQUALS => self.equality(arguments, !holds, paths),
            Expression::Call {
                name,
                target: None,
                arguments,
            } if name == operators::EQUALS => self.equality(arguments, holds, paths),
            path @ (Expression::Conditional(..) | Expression::Member(..) | Expression::Name(_)) => {
                if let (Expression::Conditional(_, one, other), None) = (path, if_there(path)) {
                    let before = self.wishes.len();
                    self.wish(one, holds, paths);
                    let after = self.wishes.len();
                    self.wish(other, holds, paths);
                    self.merge(before, after);
                    return;
                }
                let path = if_there(path).unwrap_or(path);
                let wanted = vec![Want::Value(serde_json::Value::Bool(holds))];
                self.add(claim(path), wanted);
            }
            other if !holds => self.avoid(other, paths),
            Expression::Has(of, member) => {
                let mut path = of.path().unwrap_or_default();
                path.push(member.clone());
                self.add(paths(&path), vec![Want::Present]);
            }
            Expression::Call {
                name,
                target,
                arguments,
            } => self.wish_of_call(name, target.as_deref(), arguments, paths),
            Expression::Fold(fold) => {
                if let Some(element) = element_asked_for(fold) {
                    self.add(
                        claim(&fold.over),
                        vec![Want::ListWith(Glob::literal(&element))],
                    );
                }
            }
            Expression::List(_) | Expression::Map(_) | Expression::Value(_) => {}
        }
    }

    /// What is asked of two expressions that must be the same, or must not.
    fn equality(&mut self, sides: &[Expression], holds: bool, paths: Paths<'_>) {
        let [one, other] = sides else { return };
        for (path, value) in [(one, other), (other, one)] {
            let Expression::Value(value) = value else {
                continue;
            };
            let bare = without_folding(path).path().and_then(|path| paths(&path));
            match (holds, value) {
                (true, value) => self.add(bare, vec![wanted(value)]),
                (false, Value::Bool(flag)) => {
                    let other = serde_json::Value::Bool(!flag);
                    self.add(bare, vec![Want::Value(other)]);
                }
                (false, _) => self.avoid(path, paths),
            }
        }
    }

    /// Takes down the claims of which some values are excluded.
    fn avoid(&mut self, expression: &Expression, paths: Paths<'_>) {
        match expression.path().and_then(|path| paths(&path)) {
            Some(claim) => self.avoided.push(claim),
            None => {
                if let Expression::Has(of, member) = expression {
                    let mut path = of.path().unwrap_or_default();
                    path.push(member.clone());
                    self.avoided.extend(paths(&path));
                }
                for part in expression.parts() {
                    self.avoid(part, paths);
                }
            }
        }
    }

    fn wish_of_call(
        &mut self,
        name: &str,
        target: Option<&Expression>,
        arguments: &[Expression],
        paths: Paths<'_>,
    ) {
        let claim = |expression: &Expression| {
            let bare = without_folding(expression);
            bare.path().and_then(|path| paths(&path))
        };
        match (name, target, arguments) {
            (operators::IN, None, [path, Expression::List(elements)]) => {
                let values = elements.iter().filter_map(|element| match element {
                    Expression::Value(value) => Some(wanted(value)),
                    _ => None,
                });
                self.add(claim(path), values.collect());
            }
            (operators::IN, None, [Expression::Value(Value::Text(text)), list]) => {
                self.add(claim(list), vec![Want::ListWith(Glob::literal(text))]);
            }
            ("matches", None, [path, Expression::Value(Value::Text(pattern))])
            | ("matches", Some(path), [Expression::Value(Value::Text(pattern))]) => {
                if let Some(text) = glob_of(pattern) {
                    self.add(claim(path), vec![Want::Glob(Glob::parse(&text))]);
                }
            }
            (name, Some(path), [Expression::Value(Value::Text(text))]) => {
                let glob = match name {
                    "startsWith" => Glob::around(false, text, true),
                    "endsWith" => Glob::around(true, text, false),
                    "contains" => Glob::around(true, text, true),
                    _ => return,
                };
                self.add(claim(path), vec![Want::Glob(glob)]);
            }
            _ => {}
        }
    }

    fn add(&mut self, path: Option<Vec<String>>, any: Vec<Want>) {
        if let Some(path) = path
            && !any.is_empty()
        {
            self.wishes.push(Wish { path, any });
        }
    }

    /// Makes one wish of two for the same claim, of which one stood on either side of an `||`. Good
    /// for finding claims to try, and no more: which alternatives belong together is lost.
    fn merge(&mut self, before: usize, after: usize) {
        let right = self.wishes.split_off(after);
        for wish in right {
            let left = self.wishes.iter_mut().skip(before);
            match left.into_iter().find(|one| one.path == wish.path) {
                Some(one) => one.any.extend(wish.any),
                None => self.wishes.push(wish),
            }
        }
    }

    fn look(&mut self, expression: &Expression, paths: Paths<'_>) {
        match expression {
            Expression::Has(of, member) => {
                let mut path = of.path().unwrap_or_default();
                path.push(member.clone());
                self.guarded.extend(paths(&path));
                return;
            }
            Expression::Fold(fold) => {
                let over = fold.over.path().and_then(|path| paths(&path));
                self.looped.extend(over);
            }
            Expression::Member(..) => {
                if let Some(claim) = expression.path().and_then(|path| paths(&path)) {
                    self.unguarded.push(claim);
                    return;
                }
            }
            Expression::Call {
                name,
                target,
                arguments,
            } => {
                let parts: Vec<&Expression> =
                    target.iter().map(AsRef::as_ref).chain(arguments).collect();
                if let ("matches", [of, Expression::Value(Value::Text(pattern))]) =
                    (name.as_str(), parts.as_slice())
                {
                    let claim = of.path().and_then(|path| paths(&path));
                    self.unanchored
                        .extend(unanchored(expression.to_string(), claim, pattern));
                }
                if let Some(claim) = expression.path().and_then(|path| paths(&path)) {
                    self.unguarded.push(claim);
                    return;
                }
            }
            Expression::Value(Value::Text(text)) => self.texts.push(text.to_string()),
            _ => {}
        }
        for part in expression.parts() {
            self.look(part, paths);
        }
    }
}

impl Expression {
    /// What it asks of one claim, if it compares a claim with texts, flags or whole numbers, or looks for
    /// texts in a list, and does nothing else: whoever grants the wish meets the condition.
    pub(crate) fn demand(&self, paths: Paths<'_>) -> Option<Wish> {
        let claim = |expression: &Self| {
            let claim = expression.path().and_then(|path| paths(&path));
            claim.filter(|claim| !claim.is_empty())
        };
        let (path, any) = match self {
            Self::Or(one, other) => {
                let (mut one, other) = (one.demand(paths)?, other.demand(paths)?);
                one.any.extend(other.any);
                return (one.path == other.path).then_some(one);
            }
            Self::Call {
                name,
                target: None,
                arguments,
            } => match (name.as_str(), arguments.as_slice()) {
                (operators::EQUALS, [path, Self::Value(value)] | [Self::Value(value), path]) => {
                    (claim(path)?, vec![exactly(value)?])
                }
                (operators::IN, [path, Self::List(elements)]) => {
                    let values = elements.iter().map(|element| match element {
                        Self::Value(value) => exactly(value),
                        _ => None,
                    });
                    (claim(path)?, values.collect::<Option<_>>()?)
                }
                (operators::IN, [Self::Value(Value::Text(text)), list]) => {
                    let is_there = list.or_nothing().unwrap_or(list);
                    (claim(is_there)?, vec![Want::ListWith(Glob::literal(text))])
                }
                _ => return None,
            },
            Self::Fold(fold) => {
                let is_there = fold.over.or_nothing().unwrap_or(&fold.over);
                let any = fold.elements_asked_for()?.into_iter();
                (claim(is_there)?, any.map(Want::ListWith).collect())
            }
            Self::Call {
                name,
                target: Some(path),
                arguments,
            } if name == "startsWith" => match arguments.as_slice() {
                [Self::Value(Value::Text(text))] => {
                    let glob = Glob::around(false, text, true);
                    (claim(path)?, vec![Want::Glob(glob)])
                }
                _ => return None,
            },
            _ => return None,
        };
        (!any.is_empty()).then_some(Wish { path, any })
    }

    /// The list, if it is one where it is there, and the empty list where not: whatever is looked for in it
    /// is in the one or in none.
    fn or_nothing(&self) -> Option<&Self> {
        match self {
            Self::Conditional(condition, _, other)
                if matches!(&**condition, Self::Has(..)) && **other == Self::List(Vec::new()) =>
            {
                if_there(self)
            }
            _ => None,
        }
    }

    /// Whether it has a value whenever the claims are there that it reads, and are texts.
    pub(crate) fn has_value(&self, paths: Paths<'_>) -> bool {
        let is_claim = |path: &[String]| paths(path).is_some_and(|claim| !claim.is_empty());
        if let Some(path) = self.path() {
            return is_claim(&path);
        }
        match self {
            Self::Value(_) => true,
            Self::List(elements) => elements.iter().all(|one| one.has_value(paths)),
            Self::Conditional(condition, one, other) => {
                let is_asked = matches!(&**condition, Self::Has(of, _)
                    if of.path().is_some_and(|path| path.len() == 1));
                is_asked && one.has_value(paths) && other.has_value(paths)
            }
            Self::Call {
                name,
                target: None,
                arguments,
            } if name == operators::ADD => arguments
                .iter()
                .all(|one| one.is_text() && one.has_value(paths)),
            Self::Call {
                name,
                target: Some(of),
                arguments,
            } => {
                let is_known = match (name.as_str(), arguments.as_slice()) {
                    ("lowerAscii" | "trim" | "upperAscii", []) => true,
                    ("split", [Self::Value(Value::Text(_))]) => true,
                    ("extract", [Self::Value(Value::Text(template))]) => {
                        let after = template.split_once('{').map(|(_, rest)| rest);
                        after.is_some_and(|rest| rest.contains('}'))
                    }
                    _ => false,
                };
                is_known && of.is_text() && of.has_value(paths)
            }
            _ => false,
        }
    }

    /// Whether its value is a text, if the claims that it reads are.
    fn is_text(&self) -> bool {
        match self {
            Self::Value(Value::Text(_)) => true,
            Self::Value(_) | Self::List(_) | Self::Map(_) => false,
            Self::Call {
                name, arguments, ..
            } if name == operators::ADD => arguments.iter().all(Self::is_text),
            Self::Call { name, .. } => name != "split",
            Self::Conditional(_, one, other) => one.is_text() && other.is_text(),
            _ => true,
        }
    }

    /// Whether its value is no empty text, if the claims that it reads are none.
    pub(crate) fn is_never_empty(&self) -> bool {
        match self {
            Self::Value(Value::Text(text)) => !text.is_empty(),
            Self::Conditional(_, one, other) => one.is_never_empty() && other.is_never_empty(),
            Self::Call {
                name, arguments, ..
            } if name == operators::ADD => arguments.iter().any(Self::is_never_empty),
            Self::Call {
                name,
                target: Some(of),
                ..
            } if matches!(name.as_str(), "lowerAscii" | "upperAscii") => of.is_never_empty(),
            other => other.path().is_some(),
        }
    }

    /// The claims without which it has no value.
    pub(crate) fn needs(&self, paths: Paths<'_>) -> Vec<Vec<String>> {
        Inspection::of(self, paths).unguarded
    }

    /// The most steps that it may take: a loop takes those of its inside for each element, and
    /// lists that are not written out have as many as lists of claims may have.
    fn worst(&self) -> u64 {
        let Self::Fold(fold) = self else {
            let parts = self.parts().into_iter().map(Self::worst);
            return parts.fold(1, u64::saturating_add);
        };
        let elements = match &fold.over {
            Self::List(elements) => elements.len(),
            _ => MANY,
        };
        let elements = u64::try_from(elements).unwrap_or(u64::MAX);
        let inside = fold.step.worst().saturating_add(fold.condition.worst());
        fold.over
            .worst()
            .saturating_add(elements.saturating_mul(inside))
    }
}

fn wanted(value: &Value) -> Want {
    exactly(value).unwrap_or(Want::Present)
}

fn exactly(value: &Value) -> Option<Want> {
    match value {
        Value::Text(text) => Some(Want::Glob(Glob::literal(text))),
        Value::Bool(flag) => Some(Want::Value(serde_json::Value::Bool(*flag))),
        Value::Int(number) => Some(Want::Value(serde_json::Value::from(*number))),
        _ => None,
    }
}

/// What is compared without regard to case, as it is itself.
fn without_folding(expression: &Expression) -> &Expression {
    match expression {
        Expression::Call {
            name,
            target: Some(target),
            ..
        } if matches!(name.as_str(), "lowerAscii" | "upperAscii" | "trim") => target,
        other => if_there(other).unwrap_or(other),
    }
}

/// The member that is read where it is there, and something else where not.
fn if_there(expression: &Expression) -> Option<&Expression> {
    let Expression::Conditional(condition, one, _) = expression else {
        return None;
    };
    let (Some(Expression::Has(of, asked)), Expression::Member(from, read)) =
        (condition.conjuncts().last(), &**one)
    else {
        return None;
    };
    (of == from && asked == read).then_some(one)
}

impl Fold {
    /// The texts of which one must be an element, if it is `exists` and asks for nothing else.
    fn elements_asked_for(&self) -> Option<Vec<Glob>> {
        fn asked(of: &Expression, element: &str) -> Option<Vec<Glob>> {
            let is_element =
                |one: &Expression| matches!(one, Expression::Name(name) if name == element);
            let literal = |one: &Expression| one.text().map(Glob::literal);
            match of {
                Expression::Or(one, other) => {
                    let mut any = asked(one, element)?;
                    any.extend(asked(other, element)?);
                    Some(any)
                }
                Expression::Call {
                    name,
                    target: None,
                    arguments,
                } => match (name.as_str(), arguments.as_slice()) {
                    (operators::EQUALS, [one, other]) if is_element(one) => {
                        Some(vec![literal(other)?])
                    }
                    (operators::EQUALS, [other, one]) if is_element(one) => {
                        Some(vec![literal(other)?])
                    }
                    (operators::IN, [one, Expression::List(texts)]) if is_element(one) => {
                        texts.iter().map(literal).collect()
                    }
                    _ => None,
                },
                _ => None,
            }
        }
        match self.as_macro()? {
            ("exists", of) => asked(of, &self.element),
            _ => None,
        }
    }
}

/// The text that one element must be, in a loop such as `exists(g, g == 'x')`.
fn element_asked_for(fold: &Fold) -> Option<String> {
    fn find(expression: &Expression, element: &str) -> Option<String> {
        if let Expression::Call {
            name, arguments, ..
        } = expression
            && name == operators::EQUALS
            && let [one, other] = arguments.as_slice()
        {
            for (name, text) in [(one, other), (other, one)] {
                if matches!(name, Expression::Name(name) if name == element) {
                    return text.text().map(str::to_owned);
                }
            }
        }
        expression
            .parts()
            .into_iter()
            .find_map(|part| find(part, element))
    }
    find(&fold.step, &fold.element)
}

/// Whether a match need not begin at the start of the text, or end at its end. What holds for one
/// alternative does not hold for the other, so `^a|b$` is anchored on neither side.
fn unanchored(call: String, claim: Option<Vec<String>>, pattern: &str) -> Option<Unanchored> {
    let hir = regex_syntax::Parser::new().parse(pattern).ok()?;
    let properties = hir.properties();
    let at_start = !properties.look_set_prefix().contains(Look::Start);
    let at_end = !properties.look_set_suffix().contains(Look::End);
    (at_start || at_end).then_some(Unanchored {
        call,
        claim,
        at_start,
        at_end,
    })
}

/// A pattern of wildcards that looks for the same, if the expression is simple enough: to find
/// claims that match, never to judge whether they do.
fn glob_of(pattern: &str) -> Option<String> {
    let body = pattern.trim_start_matches('^').trim_end_matches('$');
    let mut text = String::new();
    let mut characters = body.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next()? {
                escaped if escaped.is_ascii_punctuation() => text.push(escaped),
                'd' | 'w' => {
                    characters.next_if(|next| matches!(next, '+' | '*'));
                    text.push('*');
                }
                _ => return None,
            },
            '.' => match characters.peek() {
                Some('*' | '+') => {
                    characters.next();
                    text.push('*');
                }
                _ => text.push('.'),
            },
            '[' => {
                let closed = characters.by_ref().any(|inner| inner == ']');
                if !closed {
                    return None;
                }
                characters.next_if(|next| matches!(next, '+' | '*'));
                text.push('*');
            }
            '(' | ')' | '|' | '{' | '}' | '?' | '*' | '+' | '^' | '$' => return None,
            other => text.push(other),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_hold_for_all_alternatives_or_not_at_all() {
        let sides = |pattern: &str| {
            unanchored(String::new(), None, pattern).map(|one| (one.at_start, one.at_end))
        };
        assert_eq!(sides("^repo:o/r:.*$"), None);
        assert_eq!(sides("repo:o/r"), Some((true, true)));
        assert_eq!(sides("^repo:o/r"), Some((false, true)));
        assert_eq!(sides("^a|b$"), Some((true, true)));
        assert_eq!(sides("^(a|b)$"), None);
        assert_eq!(sides("\\Aa\\z"), None);
    }

    #[test]
    fn a_list_is_added_to_no_text_whatever_it_is_chosen_by() {
        let has_value = |text: &str| {
            let claim = |_: &[String]| Some(vec!["a".to_owned()]);
            Expression::parse(text).unwrap().has_value(&claim)
        };
        assert!(has_value("(has(assertion.x) ? 'a' : 'b') + 'c'"));
        assert!(!has_value("(has(assertion.x) ? ['a'] : ['b']) + 'c'"));
        assert!(!has_value("(['a'] + ['b']) + 'c'"));
    }

    #[test]
    fn simple_expressions_become_patterns() {
        for (pattern, expected) in [
            ("^repo:o/r:.*$", Some("repo:o/r:*")),
            ("repo:o/[^/]+:x", Some("repo:o/*:x")),
            ("a\\.b", Some("a.b")),
            ("(a|b)", None),
        ] {
            assert_eq!(glob_of(pattern).as_deref(), expected, "{pattern}");
        }
    }
}
