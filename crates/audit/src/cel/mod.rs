//! Expressions of the Common Expression Language, read with the parser of the `cel` crate and
//! evaluated here: step by step against a budget, because a few letters can ask for hours of work,
//! and because each part must be able to say what came of it.

mod budget;
mod contradiction;
mod evaluate;
mod functions;
mod inspect;
mod value;
mod written;

pub(crate) use budget::Budget;
pub(crate) use contradiction::{contradiction, nested};
pub(crate) use inspect::{Inspection, Paths, Unanchored};
pub use value::{Failure, Scope, Value};

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::parser::Parser;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The longest expression: what Google Cloud allows for a condition, 4,096 characters, four times,
/// since Kubernetes names no limit of its own.
const LONGEST: usize = 16_384;

/// How deep brackets and calls may be nested; conditions that people write have under ten.
const DEEPEST: u16 = 32;

/// The most signs that join parts, which bounds the tree and the work of the parser.
const MOST_TOKENS: usize = 4_096;

/// The stack of the thread that reads, in bytes: 32 levels took over 2 MiB in a build without
/// optimization.
const STACK: usize = 64 << 20;

/// How long is waited for it. The bounds above keep it far under this.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The most steps that all expressions together may take for one set of claims. A condition over
/// claims takes some hundred.
pub const FUEL: u64 = 200_000;

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// Both hold.
    And(Box<Self>, Box<Self>),
    /// A function on its arguments; a method has what it is called on before them.
    Call {
        /// Its name, or an operator such as `_==_`.
        name: String,
        /// What it is a method of.
        target: Option<Box<Self>>,
        /// What it is given.
        arguments: Vec<Self>,
    },
    /// One of two, as a condition says.
    Conditional(Box<Self>, Box<Self>, Box<Self>),
    /// What a macro over the elements of something stands for.
    Fold(Box<Fold>),
    /// Whether a member is there.
    Has(Box<Self>, String),
    /// A list.
    List(Vec<Self>),
    /// A map.
    Map(Vec<(Self, Self)>),
    /// A member of an object.
    Member(Box<Self>, String),
    /// A name.
    Name(String),
    /// It does not hold.
    Not(Box<Self>),
    /// One of both holds.
    Or(Box<Self>, Box<Self>),
    /// A value as it is.
    Value(Value),
}

/// A loop over the elements of something.
#[derive(Clone, Debug, PartialEq)]
pub struct Fold {
    over: Expression,
    element: String,
    second: Option<String>,
    result: String,
    initial: Expression,
    condition: Expression,
    step: Expression,
    end: Expression,
}

impl Expression {
    /// Reads an expression; says what is wrong with it.
    ///
    /// # Errors
    ///
    /// Why it cannot be read, or why it is not tried.
    pub fn parse(text: &str) -> Result<Self, String> {
        check_size(text)?;
        // The parser goes deep for each level of nesting, so it gets a stack of its own; and
        // whoever waits for it need not wait for ever.
        let (tell, told) = mpsc::channel();
        let owned = text.to_owned();
        let worker = thread::Builder::new().stack_size(STACK);
        let worker = worker.spawn(move || {
            // Nobody listens any more to one that took too long.
            let _ = tell.send(read(&owned));
        });
        worker.map_err(|_| "no thread could be started to read it".to_owned())?;
        told.recv_timeout(LONGEST_WAIT)
            .unwrap_or_else(|_| Err("reading it took too long".to_owned()))
    }

    /// The parts that must all hold.
    pub(crate) fn conjuncts(&self) -> Vec<&Self> {
        match self {
            Self::And(one, other) => {
                let mut parts = one.conjuncts();
                parts.extend(other.conjuncts());
                parts
            }
            other => vec![other],
        }
    }

    /// The names from the root on, if it is nothing but a path: `a.b['c']` is `a`, `b`, `c`.
    pub(crate) fn path(&self) -> Option<Vec<String>> {
        match self {
            Self::Name(name) => Some(vec![name.clone()]),
            Self::Member(of, member) => {
                let mut path = of.path()?;
                path.push(member.clone());
                Some(path)
            }
            Self::Call {
                name,
                target: None,
                arguments,
            } if name == operators::INDEX => match arguments.as_slice() {
                [of, Self::Value(Value::Text(member))] => {
                    let mut path = of.path()?;
                    path.push(member.to_string());
                    Some(path)
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The text, if it is nothing else.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Value(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The expressions that it is put together from.
    pub(crate) fn parts(&self) -> Vec<&Self> {
        match self {
            Self::And(one, other) | Self::Or(one, other) => vec![one, other],
            Self::Call {
                target, arguments, ..
            } => target.iter().map(AsRef::as_ref).chain(arguments).collect(),
            Self::Conditional(condition, one, other) => vec![condition, one, other],
            Self::Fold(fold) => vec![
                &fold.over,
                &fold.initial,
                &fold.condition,
                &fold.step,
                &fold.end,
            ],
            Self::Has(of, _) | Self::Member(of, _) | Self::Not(of) => vec![of],
            Self::List(elements) => elements.iter().collect(),
            Self::Map(entries) => entries
                .iter()
                .flat_map(|(key, value)| [key, value])
                .collect(),
            Self::Name(_) | Self::Value(_) => Vec::new(),
        }
    }

    fn check_functions(&self) -> Result<(), String> {
        if let Self::Call { name, target, .. } = self
            && !functions::is_known(name, target.is_some())
        {
            return Err(format!("the function `{name}` is not known here"));
        }
        self.parts().into_iter().try_for_each(Self::check_functions)
    }
}

fn read(text: &str) -> Result<Expression, String> {
    let parser = Parser::new()
        .max_recursion_depth(DEEPEST)
        .enable_optional_syntax(true)
        .error_recovery_limit(1);
    let parsed = parser.parse(text).map_err(|errors| {
        let text = errors.to_string();
        let line = text.lines().next().unwrap_or_default().trim();
        format!("it cannot be read: {line}")
    })?;
    let expression = convert(&parsed, 0)?;
    expression.check_functions()?;
    Ok(expression)
}

/// What is not given to the parser at all.
fn check_size(text: &str) -> Result<(), String> {
    if text.len() > LONGEST {
        return Err(format!(
            "it is {} bytes long, and {LONGEST} are read",
            text.len()
        ));
    }
    let mut depth = 0_u16;
    let mut tokens = 0_usize;
    let mut quote: Option<char> = None;
    let mut escaped = false;
    for character in text.chars() {
        if let Some(end) = quote {
            match character {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                other if other == end => quote = None,
                _ => {}
            }
            continue;
        }
        match character {
            '"' | '\'' => {
                quote = Some(character);
                tokens += 1;
            }
            '(' | '[' | '{' => {
                depth = depth.saturating_add(1);
                tokens += 1;
            }
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            other if other.is_ascii_punctuation() && other != '_' => tokens += 1,
            _ => {}
        }
        if depth > DEEPEST {
            return Err(format!("it is nested deeper than {DEEPEST} levels"));
        }
    }
    if tokens > MOST_TOKENS {
        return Err(format!("it has over {MOST_TOKENS} signs"));
    }
    Ok(())
}

/// Trees lean to the left for long chains, which nesting does not bound.
const TALLEST: usize = 512;

fn convert(parsed: &IdedExpr, height: usize) -> Result<Expression, String> {
    if height > TALLEST {
        return Err(format!("its tree is over {TALLEST} high"));
    }
    let below = |expression: &IdedExpr| convert(expression, height + 1);
    let boxed = |expression: &IdedExpr| below(expression).map(Box::new);
    Ok(match &parsed.expr {
        Expr::Unspecified => return Err("a part of it is empty".to_owned()),
        Expr::Call(call) => return convert_call(call, height),
        Expr::Comprehension(fold) => Expression::Fold(Box::new(Fold {
            over: below(&fold.iter_range)?,
            element: fold.iter_var.clone(),
            second: fold.iter_var2.clone(),
            result: fold.accu_var.clone(),
            initial: below(&fold.accu_init)?,
            condition: below(&fold.loop_cond)?,
            step: below(&fold.loop_step)?,
            end: below(&fold.result)?,
        })),
        Expr::Ident(name) => Expression::Name(name.clone()),
        Expr::List(list) if !list.optional_indices.is_empty() => return Err(OPTIONAL.to_owned()),
        Expr::List(list) => {
            Expression::List(list.elements.iter().map(below).collect::<Result<_, _>>()?)
        }
        Expr::Literal(literal) => Expression::Value(convert_literal(literal)),
        Expr::Map(map) => {
            let entries = map.entries.iter().map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) if entry.optional => Err(OPTIONAL.to_owned()),
                EntryExpr::MapEntry(entry) => Ok((below(&entry.key)?, below(&entry.value)?)),
                EntryExpr::StructField(_) => Err("it makes a message".to_owned()),
            });
            Expression::Map(entries.collect::<Result<_, _>>()?)
        }
        Expr::Select(select) if select.test => {
            Expression::Has(boxed(&select.operand)?, select.field.clone())
        }
        Expr::Select(select) => Expression::Member(boxed(&select.operand)?, select.field.clone()),
        Expr::Struct(_) => return Err("it makes a message".to_owned()),
    })
}

fn convert_call(call: &CallExpr, height: usize) -> Result<Expression, String> {
    let below = |expression: &IdedExpr| convert(expression, height + 1);
    let boxed = |expression: &IdedExpr| below(expression).map(Box::new);
    if let Some(target) = &call.target
        && let Some(Optional {
            is_there, value, ..
        }) = convert_optional(target, height + 1)?
    {
        return match (call.func_name.as_str(), call.args.as_slice()) {
            ("hasValue", []) => Ok(is_there),
            ("orValue", [other]) => {
                let (is_there, value) = (Box::new(is_there), Box::new(value));
                Ok(Expression::Conditional(is_there, value, boxed(other)?))
            }
            ("value", []) => Ok(value),
            _ => Err(OPTIONAL.to_owned()),
        };
    }
    Ok(match (call.func_name.as_str(), call.args.as_slice()) {
        (operators::LOGICAL_AND, [one, other]) => Expression::And(boxed(one)?, boxed(other)?),
        (operators::LOGICAL_OR, [one, other]) => Expression::Or(boxed(one)?, boxed(other)?),
        (operators::LOGICAL_NOT, [one]) => Expression::Not(boxed(one)?),
        (operators::CONDITIONAL, [condition, one, other]) => {
            Expression::Conditional(boxed(condition)?, boxed(one)?, boxed(other)?)
        }
        (operators::OPT_SELECT | operators::OPT_INDEX, _) => return Err(OPTIONAL.to_owned()),
        (name, arguments) => Expression::Call {
            name: name.to_owned(),
            target: call.target.as_deref().map(boxed).transpose()?,
            arguments: arguments.iter().map(below).collect::<Result<_, _>>()?,
        },
    })
}

/// What is said where an optional value stands that is not asked for at once.
const OPTIONAL: &str = "an optional value is read only by `orValue`, `hasValue` or `value`";

/// How many members of members may be optional in one path; each asks for all before it.
const MOST_OPTIONAL: usize = 8;

/// A member that may be missing, and whether it is there.
struct Optional {
    is_there: Expression,
    value: Expression,
    depth: usize,
}

/// A path with members that may be missing (`a.?b`, `a[?'b']`): from the first of them on, all may.
fn convert_optional(parsed: &IdedExpr, height: usize) -> Result<Option<Optional>, String> {
    let (of, member, is_optional) = match &parsed.expr {
        Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::OPT_SELECT | operators::OPT_INDEX, [of, member]) => match &member.expr {
                Expr::Literal(LiteralValue::String(member)) => (of, member.inner(), true),
                _ => return Err(OPTIONAL.to_owned()),
            },
            _ => return Ok(None),
        },
        Expr::Select(select) if !select.test => (&*select.operand, select.field.as_str(), false),
        _ => return Ok(None),
    };
    let before = convert_optional(of, height + 1)?;
    let (before, of, depth) = match before {
        Some(before) => (Some(before.is_there), before.value, before.depth + 1),
        None if is_optional => (None, convert(of, height + 1)?, 1),
        None => return Ok(None),
    };
    if depth > MOST_OPTIONAL {
        return Err(format!(
            "more than {MOST_OPTIONAL} members in a row are optional"
        ));
    }
    let is_there = Expression::Has(Box::new(of.clone()), member.to_owned());
    Ok(Some(Optional {
        is_there: match before {
            Some(before) => Expression::And(Box::new(before), Box::new(is_there)),
            None => is_there,
        },
        value: Expression::Member(Box::new(of), member.to_owned()),
        depth,
    }))
}

fn convert_literal(literal: &LiteralValue) -> Value {
    match literal {
        LiteralValue::Boolean(flag) => Value::Bool(*flag.inner()),
        LiteralValue::Bytes(bytes) => Value::Bytes(bytes.inner().into()),
        LiteralValue::Double(number) => Value::Double(*number.inner()),
        LiteralValue::Int(number) => Value::Int(*number.inner()),
        LiteralValue::Null => Value::Null,
        LiteralValue::String(text) => Value::Text(text.inner().into()),
        LiteralValue::UInt(number) => Value::Unsigned(*number.inner()),
    }
}
