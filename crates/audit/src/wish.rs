//! What a configuration looks for in a claim, gathered so that claims can be made that have it.

use serde_json::Value;

use crate::glob::Glob;

/// What a claim should be, as far as a configuration says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wish {
    /// The claim, as a path of members.
    pub(crate) path: Vec<String>,
    /// One of these.
    pub(crate) any: Vec<Want>,
}

/// One thing that a claim may be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Want {
    /// A text of this pattern.
    Glob(Glob),
    /// A list that has a text of this pattern.
    ListWith(Glob),
    /// Anything, as long as it is there.
    Present,
    /// Exactly this.
    Value(Value),
}

impl Wish {
    pub(crate) fn new(path: &[&str], any: Vec<Want>) -> Self {
        Self {
            path: path.iter().map(|member| (*member).to_owned()).collect(),
            any,
        }
    }

    /// That a claim be there, whatever it is.
    pub(crate) fn present(path: Vec<String>) -> Self {
        Self {
            path,
            any: vec![Want::Present],
        }
    }

    /// The patterns among what it may be.
    pub(crate) fn globs(&self) -> impl Iterator<Item = &Glob> {
        self.any.iter().filter_map(|want| match want {
            Want::Glob(glob) => Some(glob),
            Want::ListWith(_) | Want::Present | Want::Value(_) => None,
        })
    }

    /// Whether it asks of a list what it has.
    pub(crate) fn is_of_list(&self) -> bool {
        let mut any = self.any.iter();
        any.any(|want| matches!(want, Want::ListWith(_)))
    }

    /// Whether it only asks that the claim be there.
    pub(crate) fn is_bare(&self) -> bool {
        self.any.contains(&Want::Present)
    }

    /// Whether it is about the claim of this name.
    pub(crate) fn is_about(&self, claim: &str) -> bool {
        matches!(self.path.as_slice(), [only] if only == claim)
    }
}
