//! XML without what makes it dangerous: no document types, no entities of one's own, no processing
//! instructions, no CDATA, and a bound on everything.

use std::collections::{BTreeMap, BTreeSet};

use roxmltree::{Document, Node, ParsingOptions};

use super::SIGNATURE;
use crate::reason::{Reason, printable};
use crate::time::Time;

/// The longest document, in bytes: responses with all groups of a large directory stay under 100
/// KiB.
const BYTES: usize = 256 << 10;

/// The most elements, texts and comments; a response with a hundred attributes has 500.
const NODES: u32 = 10_000;

/// The most declarations of namespaces and the most attributes, both counted in the text. Responses
/// have 10 and 200, but for those that declare two with each value of an attribute: 1,000 values.
const NAMESPACES: usize = 2_048;
const ATTRIBUTES: usize = 4_000;

/// The most names that are declared for namespaces, counted in the text: what a reader does with them
/// grows with their number for each element, before anything else is known. Responses have 10.
const PREFIXES: usize = 256;

/// The most declarations on the way from an element up to the root, also of a name that another of
/// them declares: programs that work out what was signed search them for each name. Responses have 10.
const DECLARED_ABOVE: usize = 256;

/// The most namespaces that are known in one place: for each element, programs that work out what
/// was signed look through them. Responses have 10.
const KNOWN_NAMESPACES: usize = 64;

/// Levels of nesting; responses have 10.
const DEPTH: usize = 32;

/// Reads a document, whose IDs are all different.
pub(super) fn read(text: &str) -> Result<Document<'_>, Reason> {
    if text.len() > BYTES {
        return Err(Reason::InputSize {
            part: "SAML document",
            size: text.len(),
            allowed: BYTES,
        });
    }
    refuse_markup(text)?;
    for (part, what, allowed) in [
        (
            "declarations of namespaces in a SAML document",
            "xmlns",
            NAMESPACES,
        ),
        ("attributes in a SAML document", "=", ATTRIBUTES),
    ] {
        at_most(part, text.matches(what).count(), allowed)?;
    }
    let prefixes: BTreeSet<&str> = declared_names(text).collect();
    at_most(
        "names of namespaces in a SAML document",
        prefixes.len(),
        PREFIXES,
    )?;
    let options = ParsingOptions {
        nodes_limit: NODES,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(text, options)
        .map_err(|error| malformed(error.to_string()))?;
    let mut ids = BTreeSet::new();
    let mut declared = BTreeMap::new();
    for node in document.descendants().filter(Node::is_element) {
        if node.ancestors().take(DEPTH + 1).count() > DEPTH {
            return Err(malformed(format!(
                "it is nested deeper than {DEPTH} levels"
            )));
        }
        count_declarations(node, &mut declared)?;
        let known = node.namespaces().len();
        if known > KNOWN_NAMESPACES {
            return Err(malformed(format!(
                "{known} namespaces are known in one place, and more than {KNOWN_NAMESPACES} are not \
                 worked with"
            )));
        }
        for attribute in node.attributes() {
            let is_id = matches!(attribute.name(), "ID" | "Id" | "id");
            if is_id && !ids.insert(attribute.value()) {
                return Err(Reason::SamlIdDuplicate {
                    id: attribute.value().to_owned(),
                });
            }
        }
        // A relative name makes canonical XML undefined (XML-C14N 1.3), and what comes of it
        // differs between programs.
        let relative = node.namespaces().find(|space| !space.uri().contains(':'));
        if let Some(space) = relative.filter(|space| !space.uri().is_empty()) {
            return Err(malformed(format!(
                "the namespace `{}` is no absolute URI",
                printable(space.uri())
            )));
        }
    }
    Ok(document)
}

fn at_most(part: &'static str, size: usize, allowed: usize) -> Result<(), Reason> {
    match size > allowed {
        true => Err(Reason::InputSize {
            part,
            size,
            allowed,
        }),
        false => Ok(()),
    }
}

/// All words of a text that may declare a namespace, each with its prefix.
fn declared_names(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|letter: char| " \t\r\n=<>\"'/".contains(letter));
    words.filter(|word| word.starts_with("xmlns"))
}

/// Counts for an element, after those above it, how many namespaces are declared up to the root.
fn count_declarations(
    node: Node<'_, '_>,
    declared: &mut BTreeMap<u32, usize>,
) -> Result<(), Reason> {
    let above = node
        .parent()
        .and_then(|above| declared.get(&above.id().get()));
    let text = node.document().input_text().get(node.range());
    // No tag has a `<` within it.
    let tag = text
        .and_then(|text| text.split('<').nth(1))
        .unwrap_or_default();
    let count = above.copied().unwrap_or_default() + declared_names(tag).count();
    if count > DECLARED_ABOVE {
        return Err(malformed(format!(
            "{count} namespaces are declared on the way to one element, and more than \
             {DECLARED_ABOVE} are not worked with"
        )));
    }
    declared.insert(node.id().get(), count);
    Ok(())
}

/// Refuses declarations, whatever they declare, and instructions but for the one that may begin a
/// document.
fn refuse_markup(text: &str) -> Result<(), Reason> {
    let body = match text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']) {
        declared if declared.starts_with("<?xml ") => {
            let (declaration, body) = declared
                .split_once("?>")
                .ok_or_else(|| malformed("its declaration does not end".to_owned()))?;
            refuse_encoding(declaration)?;
            body
        }
        bare => bare,
    };
    if body.contains("<?") {
        return Err(malformed("it has a processing instruction".to_owned()));
    }
    let mut rest = body;
    while let Some((_, after)) = rest.split_once("<!") {
        if !after.starts_with("--") {
            return Err(malformed(
                "it has a document type, an entity or CDATA, none of which belongs in SAML"
                    .to_owned(),
            ));
        }
        rest = after;
    }
    Ok(())
}

/// Another encoding would have another reader see another text.
fn refuse_encoding(declaration: &str) -> Result<(), Reason> {
    let Some((_, named)) = declaration.split_once("encoding") else {
        return Ok(());
    };
    let name = named.trim_matches(|letter: char| "=\"' \t\r\n".contains(letter));
    let name = name.split(['"', '\'']).next().unwrap_or_default();
    if name.eq_ignore_ascii_case("utf-8") || name.eq_ignore_ascii_case("us-ascii") {
        return Ok(());
    }
    Err(malformed(format!(
        "it says it is written in `{}`, and only UTF-8 is read",
        printable(name)
    )))
}

/// Whether a node is an element of this name.
pub(super) fn is(node: Node<'_, '_>, namespace: &str, name: &str) -> bool {
    node.is_element() && node.has_tag_name((namespace, name))
}

/// Whether it is an element of an XML signature.
pub(super) fn is_of_signature(node: Node<'_, '_>, name: &str) -> bool {
    is(node, SIGNATURE, name)
}

/// The elements directly below.
pub(super) fn elements<'a, 'input>(
    node: Node<'a, 'input>,
) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(Node::is_element)
}

/// The elements of this name directly below.
pub(super) fn named<'a, 'input>(
    node: Node<'a, 'input>,
    namespace: &'static str,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children()
        .filter(move |child| is(*child, namespace, name))
}

/// The text of an element that holds one text and nothing else; without the white space of XML
/// around it, with which documents are laid out.
pub(super) fn text<'a>(node: Node<'a, '_>) -> Result<&'a str, Reason> {
    exact_text(node).map(without_white_space)
}

/// The same, letter by letter: what is compared with the names that someone trusts is compared
/// exactly (SAML Core 1.3.1), so that `admin` with a space after it is not `admin`.
pub(super) fn exact_text<'a>(node: Node<'a, '_>) -> Result<&'a str, Reason> {
    let mut children = node.children();
    match (children.next(), children.next()) {
        (Some(child), None) if child.is_text() => {
            let text = child.text().unwrap_or_default();
            if without_white_space(text).is_empty() {
                Err(malformed(format!("`{}` is empty", name_of(node))))
            } else {
                Ok(text)
            }
        }
        (None, _) => Err(malformed(format!("`{}` is empty", name_of(node)))),
        (Some(_), _) => Err(malformed(format!(
            "`{}` holds more than one text",
            name_of(node)
        ))),
    }
}

/// A text without the white space around it that is white space to XML (XML 2.3), and no other:
/// whatever else Unicode calls so is a letter of a name.
pub(super) fn without_white_space(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

/// An attribute without a namespace.
pub(super) fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.attributes()
        .find(|attribute| attribute.namespace().is_none() && attribute.name() == name)
        .map(|attribute| attribute.value())
}

/// How an element is called, safe to show.
pub(super) fn name_of(node: Node<'_, '_>) -> String {
    printable(node.tag_name().name())
}

/// The base64 of an element, which may be broken into lines.
pub(super) fn base64(node: Node<'_, '_>) -> Result<Vec<u8>, Reason> {
    use base64ct::{Base64, Encoding};
    let text: String = text(node)?.split_ascii_whitespace().collect();
    Base64::decode_vec(&text).map_err(|_| malformed(format!("`{}` is not base64", name_of(node))))
}

/// Which way a fraction of a second is rounded, so that nothing holds longer than it says.
#[derive(Clone, Copy)]
pub(super) enum Rounded {
    Down,
    Up,
}

/// A moment in UTC (SAML Core 1.3.3), to the second.
pub(super) fn time(text: &str, rounded: Rounded) -> Result<Time, Reason> {
    let refuse = || malformed(format!("`{}` is no moment in UTC", printable(text)));
    let moment = Time::parse(text).map_err(|_| refuse())?;
    let zoneless = text.strip_suffix('Z').ok_or_else(refuse)?;
    let fraction = zoneless.split_once('.').map(|(_, fraction)| fraction);
    let has_fraction = fraction.is_some_and(|digits| digits.bytes().any(|digit| digit != b'0'));
    Ok(match rounded {
        Rounded::Up if has_fraction => moment.plus(1),
        Rounded::Up | Rounded::Down => moment,
    })
}

/// The refusal of a document that is not what it should be.
pub(super) fn malformed(detail: String) -> Reason {
    Reason::SamlMalformed { detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> &'static str {
        match read(text) {
            Ok(_) => "fine",
            Err(reason) => reason.code(),
        }
    }

    #[test]
    fn hostile_58_what_makes_xml_dangerous_is_refused() {
        let laughs = "<!DOCTYPE a [<!ENTITY b \"ha\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>";
        let foreign = "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>";
        let deep = format!("{}{}", "<a>".repeat(40), "</a>".repeat(40));
        let wide = format!("<a>{}</a>", "<b/>".repeat(20_000));
        for text in [
            laughs,
            foreign,
            "<!DOCTYPE a><a/>",
            "<a>&b;</a>",
            "<a><![CDATA[b]]></a>",
            "<a><?b c?></a>",
            "<?xml-stylesheet href='a'?><a/>",
            "<?xml version='1.0' encoding='utf-16'?><a/>",
            "<a b='1' b='2'/>",
            "<a xmlns:b='1'/>",
            "<a>",
            "<a/><a/>",
            "",
            &deep,
            &wide,
        ] {
            assert_eq!(code(text), "input.saml_malformed", "{:.60}", text);
        }
        assert_eq!(code(&" ".repeat(BYTES + 1)), "limit.input_size");
        let same = "<a ID='1'><b Id='1'/></a>";
        assert_eq!(code(same), "federation.saml_id_duplicate");
        for text in [
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a ID='1'><!-- b --><b ID='2'>&lt;</b></a>",
            "<a xmlns='urn:a' xmlns:b='urn:b'><b:c xmlns=''/></a>",
        ] {
            assert_eq!(code(text), "fine", "{text}");
        }
    }

    #[test]
    fn a_fraction_never_makes_a_moment_later_than_it_says() {
        let at = |text, rounded| time(text, rounded).map(Time::unix).ok();
        let text = "1970-01-01T00:00:10.5Z";
        assert_eq!(at(text, Rounded::Down), Some(10));
        assert_eq!(at(text, Rounded::Up), Some(11));
        assert_eq!(at("1970-01-01T00:00:10.000Z", Rounded::Up), Some(10));
        assert_eq!(at("1970-01-01T01:00:10+01:00", Rounded::Up), None);
        assert_eq!(at("tomorrow", Rounded::Up), None);
    }
}
