//! Checks of what the compiler does not see: which crate may know which, licences, purity,
//! documents that are complete.

mod dependencies;
mod fixtures;
mod purity;
mod text;

use crate::findings;
use crate::reasons;
use crate::tally::Tally;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace) -> Tally {
    let mut tally = Tally::default();
    println!();
    tally.check("the core is pure", &purity::findings(workspace));
    match dependencies::Packages::read(workspace) {
        Ok(packages) => {
            tally.check("dependencies point down", &packages.wrong_direction());
            tally.check("every dependency is used", &packages.unused(workspace));
            tally.check("licences are allowed", &packages.licences(workspace));
            tally.check("sources are allowed", &packages.sources());
        }
        Err(error) => tally.fail(format!("dependencies: {error}")),
    }
    tally.check(
        "every dependency is explained",
        &dependencies::unexplained(workspace),
    );
    tally.check(
        "docs/reasons.md is up to date",
        &reasons::up_to_date(workspace),
    );
    tally.check(
        "docs/findings.md and docs/facts.md are up to date",
        &findings::up_to_date(workspace),
    );
    tally.check("every reason has a fixture", &fixtures::missing(workspace));
    tally.check("files are short", &text::long_files(workspace));
    tally.check("words are our own", &text::unwanted_words(workspace));
    tally.check("links lead somewhere", &text::dead_links(workspace));
    tally
}
