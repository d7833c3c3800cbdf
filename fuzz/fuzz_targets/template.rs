//! Identities with places: the first line is one, the others are facts of a node and of a workload
//! alike. What it becomes is one of those that it says it may become.

#![no_main]

use avouch_core::template::{IdTemplate, Whose};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.lines();
    let Ok(template) = IdTemplate::parse(lines.next().unwrap_or_default()) else {
        return;
    };
    let again = IdTemplate::parse(template.as_str());
    assert_eq!(again.as_ref().ok(), Some(&template));
    let facts: Vec<&str> = lines.collect();
    let filled = template
        .fill(Whose::Node, &facts)
        .and_then(|template| template.fill(Whose::Workload, &facts));
    let Ok(filled) = filled else {
        return;
    };
    assert_eq!(filled.trust_domain(), template.trust_domain());
    if let Some(id) = filled.fixed() {
        assert!(template.admits(id), "{template} became {id}");
    }
});
