//! What the documents show is what the program does.

use std::path::Path;

use serde_json::Value;

use crate::run::Folder;

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs/how-to")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

/// The fenced blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(of) = line.strip_prefix("```") else {
            continue;
        };
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if of == language {
            found.push(body.join("\n"));
        }
    }
    found
}

#[test]
fn every_trust_document_that_is_shown_can_be_read_whole() {
    let folder = Folder::new("documents_trust");
    let text = document("trust-documents.md");
    let shown = [blocks(&text, "yaml"), blocks(&text, "json")].concat();
    assert_eq!(shown.len(), 9);
    for document in shown {
        folder.file("trust", &document);
        let ran = folder.run(&["anchor", "list", "--trust", "trust"]);
        assert_eq!(ran.code, 0, "{document}\n{ran:?}");
    }
}

#[test]
fn the_question_that_is_shown_can_be_asked_and_the_verdict_has_the_members_that_are_shown() {
    let folder = Folder::new("documents_question");
    let shown = blocks(&document("verify.md"), "json");
    let [question, verdict] = shown.as_slice() else {
        panic!("{} blocks of JSON", shown.len());
    };
    let ran = folder.run_with(&["verify", "--batch", "-"], question.replace('\n', " "));
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(answer["id"], "case-1", "{ran:?}");
    assert_eq!(answer["reason"]["code"], "policy.no_anchors", "{ran:?}");
    let verdict: Value = serde_json::from_str(verdict).unwrap();
    let members = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(members(&verdict), members(&answer));
    assert_eq!(members(&verdict["reason"]), members(&answer["reason"]));
    assert_eq!(
        members(&verdict["attempts"][0]),
        members(&answer["attempts"][0])
    );
}

#[test]
fn every_command_that_is_shown_is_one() {
    let folder = Folder::new("documents_commands");
    let texts = ["verify.md", "trust-documents.md"].map(document).concat();
    let commands: Vec<String> = blocks(&texts, "console")
        .iter()
        .flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert_eq!(commands.len(), 11);
    for command in commands {
        let arguments: Vec<&str> = command
            .strip_prefix("$ avouch ")
            .unwrap()
            .split(' ')
            .collect();
        let ran = folder.run(&arguments);
        // The files are not there, and that is all that is wrong.
        assert_eq!(ran.code, 1, "{command}: {ran:?}");
        assert!(ran.err.contains("cannot read"), "{command}: {ran:?}");
    }
}
