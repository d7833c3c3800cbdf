//! Drawing for people. Pure: what is drawn depends on what is given and on nothing else, and
//! everything that came from outside is made safe to print first.

mod anchors;
mod flow;
mod graph;
mod ladder;
mod layout;
mod models;
pub(crate) mod sarif;
mod svg;
mod told;
mod verdict;

pub use anchors::{anchor_diff, anchor_list};
pub(crate) use flow::Flow;
pub(crate) use graph::Graph;
pub use layout::Style;
pub(crate) use layout::{Page, WIDTH, count, wrap};
pub use models::models;
pub(crate) use told::told;
pub use verdict::answer;

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Everything: each check that passed, each path that failed.
    Full,
    /// What one must know: the path that holds, or the one that came nearest.
    Short,
}
