//! Expressions as texts again, for people: each part as it would be written by itself.

use std::fmt;

use cel::common::ast::operators;

use super::value::Value;
use super::{Expression, Fold};

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(one, other) => write!(f, "{} && {}", Inner(one), Inner(other)),
            Self::Or(one, other) => write!(f, "{} || {}", Inner(one), Inner(other)),
            Self::Not(of) => write!(f, "!{}", Inner(of)),
            Self::Conditional(condition, one, other) => {
                write!(
                    f,
                    "{} ? {} : {}",
                    Inner(condition),
                    Inner(one),
                    Inner(other)
                )
            }
            Self::Has(of, member) => write!(f, "has({of}.{member})"),
            Self::Member(of, member) => write!(f, "{}.{member}", Inner(of)),
            Self::Name(name) => f.write_str(name),
            Self::Value(value) => value.fmt(f),
            Self::List(elements) => write!(f, "[{}]", Listed(elements)),
            Self::Map(_) => f.write_str("{…}"),
            Self::Fold(fold) => fold.fmt(f),
            Self::Call {
                name,
                target: None,
                arguments,
            } => operation(f, name, arguments),
            Self::Call {
                name,
                target: Some(target),
                arguments,
            } => write!(f, "{}.{name}({})", Inner(target), Listed(arguments)),
        }
    }
}

fn operation(f: &mut fmt::Formatter<'_>, name: &str, arguments: &[Expression]) -> fmt::Result {
    match (name, arguments) {
        (operators::INDEX, [of, index]) => write!(f, "{}[{index}]", Inner(of)),
        (operators::IN, [one, other]) => write!(f, "{} in {}", Inner(one), Inner(other)),
        (operators::NEGATE, [of]) => write!(f, "-{}", Inner(of)),
        (name, [one, other]) if name.starts_with('_') => {
            write!(
                f,
                "{} {} {}",
                Inner(one),
                name.trim_matches('_'),
                Inner(other)
            )
        }
        (name, arguments) => write!(f, "{name}({})", Listed(arguments)),
    }
}

/// As the macro that it was written as, as far as that can be told; otherwise its parts.
impl fmt::Display for Fold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, of) = self.as_macro().unwrap_or(("each", &self.step));
        write!(f, "{}.{name}({}, {of})", Inner(&self.over), self.element)
    }
}

impl Fold {
    /// The macro that it was written as, and what that has for each element.
    pub(super) fn as_macro(&self) -> Option<(&'static str, &Expression)> {
        let is_result =
            |it: &Expression| matches!(it, Expression::Name(name) if *name == self.result);
        if self.second.is_some() || !is_result(&self.end) {
            return None;
        }
        let starts_with = |flag: bool| self.initial == Expression::Value(Value::Bool(flag));
        match &self.step {
            Expression::And(one, of) if is_result(one) && starts_with(true) => Some(("all", of)),
            Expression::Or(one, of) if is_result(one) && starts_with(false) => Some(("exists", of)),
            Expression::Conditional(of, _, other) if is_result(other) => Some(("filter", of)),
            Expression::Call {
                name, arguments, ..
            } if name == operators::ADD => match arguments.as_slice() {
                [one, Expression::List(made)] if is_result(one) => match made.as_slice() {
                    [of] => Some(("map", of)),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(flag) => flag.fmt(f),
            Self::Bytes(_) => f.write_str("b'…'"),
            Self::Double(number) => number.fmt(f),
            Self::Int(number) => number.fmt(f),
            Self::Unsigned(number) => write!(f, "{number}u"),
            Self::Null => f.write_str("null"),
            Self::Text(text) => write!(f, "'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
            Self::List(elements) => {
                let elements: Vec<String> = elements.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", elements.join(", "))
            }
            Self::Map(members) => {
                let members: Vec<String> = members
                    .iter()
                    .map(|(name, value)| format!("'{name}': {value}"))
                    .collect();
                write!(f, "{{{}}}", members.join(", "))
            }
        }
    }
}

struct Inner<'a>(&'a Expression);

impl fmt::Display for Inner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_joined = match self.0 {
            Expression::And(..) | Expression::Or(..) | Expression::Conditional(..) => true,
            Expression::Call {
                name, target: None, ..
            } => name.starts_with(['_', '@']) && name != operators::INDEX,
            _ => false,
        };
        if is_joined {
            write!(f, "({})", self.0)
        } else {
            self.0.fmt(f)
        }
    }
}

struct Listed<'a>(&'a [Expression]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, expression) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            expression.fmt(f)?;
        }
        Ok(())
    }
}
