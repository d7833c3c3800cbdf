//! Graphs of certificates made to be expensive, for those who count what a decision spends and for
//! those who take its time. Whoever shows a credential chooses them.

use crate::asn1;
use crate::certificate::CertificateForge;
use crate::crl::CrlForge;
use crate::extension::{self, Extension, KeyUsage};
use crate::key::{self, Key, RsaTestKey};
use crate::name::{self, GeneralName, Name};
use crate::world::Authority;

/// A chain to decide on, the end entity first, and the anchors it is held against; all as DER.
#[derive(Clone, Debug)]
pub struct Graph {
    /// What the holder shows.
    pub chain: Vec<Vec<u8>>,
    /// What is trusted.
    pub anchors: Vec<Vec<u8>>,
}

impl Graph {
    fn new(leaf: Vec<u8>, others: Vec<Vec<u8>>, anchors: Vec<Vec<u8>>) -> Self {
        let chain = std::iter::once(leaf).chain(others).collect();
        Self { chain, anchors }
    }
}

fn authorities(count: usize, name: impl Fn(usize) -> String) -> Vec<Authority> {
    (0..count)
        .map(|number| {
            let key = Key::ed25519(&format!("key {number}"));
            Authority::root_with(Name::common_name(&name(number)), key, |forge| forge)
        })
        .collect()
}

/// Every one of them certifies every other.
fn mutual(authorities: &[Authority]) -> Vec<Vec<u8>> {
    let mut crossed = Vec::new();
    for issuer in authorities {
        for subject in authorities
            .iter()
            .filter(|subject| subject.key != issuer.key)
        {
            crossed.push(issuer.cross_certify(subject));
        }
    }
    crossed
}

/// An authority that no graph leads to.
fn stranger() -> Authority {
    Authority::root("Stranger")
}

/// So many authorities that all certify each other, and no anchor.
pub fn all_certify_each_other(count: usize) -> Graph {
    let authorities = authorities(count, |number| format!("CA {number}"));
    let leaf = authorities[0].server("a.example");
    Graph::new(leaf, mutual(&authorities), vec![stranger().certificate])
}

/// The same, where the one next to the leaf is an anchor.
pub fn all_certify_each_other_next_to_an_anchor(count: usize) -> Graph {
    let authorities = authorities(count, |number| format!("CA {number}"));
    let leaf = authorities[0].server("a.example");
    let anchors = vec![authorities[0].certificate.clone()];
    Graph::new(leaf, mutual(&authorities), anchors)
}

/// So many issuers of one name, any of which may have signed the leaf: it says not which, and none
/// has.
pub fn look_alikes(count: usize) -> Graph {
    let look_alikes = authorities(count, |_| "Look-alike".to_owned());
    let leaf = CertificateForge::server("a.example").without("2.5.29.35");
    let leaf = leaf.sign(&"Look-alike".into(), &Key::ed25519("no one"));
    let others = look_alikes.into_iter().map(|one| one.certificate).collect();
    Graph::new(leaf, others, vec![stranger().certificate])
}

/// The same, where one that comes last has signed it and leads to an anchor.
pub fn look_alikes_before_the_one_that_signed(count: usize) -> Graph {
    let root = stranger();
    let issuing = root.intermediate_with("Look-alike", Key::ed25519("issuing"), |forge| forge);
    let look_alikes = authorities(count, |_| "Look-alike".to_owned());
    let others = look_alikes
        .into_iter()
        .map(|one| one.certificate)
        .chain([issuing.certificate.clone()]);
    let leaf = issuing.server("a.example");
    Graph::new(leaf, others.collect(), vec![root.certificate])
}

/// Certificates of one key, each with a name of its own and issued by the next.
pub fn one_key_with_many_names(count: usize) -> Graph {
    let key = Key::ed25519("shared");
    let others = (0..count).map(|number| {
        CertificateForge::authority(Name::common_name(&format!("CA {number}")), &key)
            .sign(&Name::common_name(&format!("CA {}", number + 1)), &key)
    });
    let leaf = CertificateForge::server("a.example").sign(&Name::common_name("CA 0"), &key);
    Graph::new(leaf, others.collect(), vec![stranger().certificate])
}

/// Paths that fork at each of `levels` levels, all of which end before so many certificates that
/// would make them too long.
pub fn a_pile_below_the_greatest_depth(levels: usize, pile: usize) -> Graph {
    let at = |level: usize, number: usize| {
        let name = Name::common_name(&format!("level {level}"));
        Authority::root_with(name, Key::ed25519(&format!("{level} {number}")), |forge| {
            forge
        })
    };
    let mut others = Vec::new();
    for level in 0..levels {
        for (lower, upper) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            others.push(at(level + 1, upper).cross_certify(&at(level, lower)));
        }
    }
    let last = Name::common_name(&format!("level {levels}"));
    let issuer = Authority::root("pile");
    for number in 0..pile {
        let key = Key::ed25519(&format!("pile {number}"));
        others.push(issuer.issue(CertificateForge::authority(last.clone(), &key)));
    }
    let leaf = at(0, 0).server("a.example");
    Graph::new(leaf, others, vec![stranger().certificate])
}

/// A chain of so many certificates, each issued by the next.
pub fn a_long_chain(count: usize) -> Graph {
    let links = (0..count - 1).map(|number| {
        let name = |number: usize| Name::common_name(&format!("level {number}"));
        let key = |number: usize| Key::ed25519(&format!("level {number}"));
        CertificateForge::authority(name(number), &key(number))
            .sign(&name(number + 1), &key(number + 1))
    });
    let leaf = CertificateForge::server("a.example")
        .sign(&Name::common_name("level 0"), &Key::ed25519("level 0"));
    Graph::new(leaf, links.collect(), vec![stranger().certificate])
}

/// A chain of so many certificates, all of them empty.
pub fn empty_certificates(count: usize) -> Graph {
    let others = vec![Vec::new(); count - 1];
    Graph::new(Vec::new(), others, vec![stranger().certificate])
}

/// So many certificates that one name issued to itself, each with the key of the next, so that none
/// counts for the length of a path.
pub fn self_issued(count: usize) -> Graph {
    let name = Name::common_name("Self");
    let keys: Vec<Key> = (0..=count)
        .map(|number| Key::ed25519(&format!("self {number}")))
        .collect();
    let links = keys
        .iter()
        .zip(keys.iter().skip(1))
        .map(|(own, next)| CertificateForge::authority(name.clone(), own).sign(&name, next));
    let leaf = CertificateForge::server("a.example").sign(&name, &keys[0]);
    Graph::new(leaf, links.collect(), vec![stranger().certificate])
}

fn excluding(constraints: usize) -> Extension {
    let excluded: Vec<GeneralName> = (0..constraints)
        .map(|number| GeneralName::dns(&format!("other-{number}.example")))
        .collect();
    extension::name_constraints(&[], &excluded)
}

/// A leaf of so many names below a CA of so many name constraints, none of which fits any.
pub fn name_constraints(constraints: usize, names: usize) -> Graph {
    let names: Vec<GeneralName> = (0..names)
        .map(|number| GeneralName::dns(&format!("host-{number}.example")))
        .collect();
    let root = stranger();
    let issuing = root.intermediate_with("Constrained", Key::ed25519("constrained"), |forge| {
        forge.with(excluding(constraints))
    });
    let leaf = issuing.issue(CertificateForge::server("a.example").names(&names));
    Graph::new(leaf, vec![issuing.certificate], vec![root.certificate])
}

/// So many paths that reach the anchor and are refused there, each through a certificate of so many
/// name constraints.
pub fn whole_paths_through_a_long_certificate(paths: u64, constraints: usize) -> Graph {
    let root = stranger();
    let middle = Authority::root("Middle");
    let mut others = Vec::new();
    for number in 0..paths {
        let from = format!("2024-01-01T00:00:{:02}Z", number % 60);
        let forge = CertificateForge::authority(middle.name.clone(), &middle.key)
            .valid(from.as_str(), "2024-02-01T00:00:00Z")
            .path_length(number);
        others.push(root.issue(forge));
    }
    let issuing = middle.intermediate_with("Issuing", Key::ed25519("issuing"), |forge| {
        forge.with(excluding(constraints))
    });
    others.push(issuing.certificate.clone());
    let leaf = issuing.server("a.example");
    Graph::new(leaf, others, vec![root.certificate])
}

/// So many anchors of one name, one of which, in their middle, issued the leaf.
pub fn anchors_of_one_name(count: usize) -> Graph {
    let roots = authorities(count, |_| "Root".to_owned());
    let leaf = roots[count / 2].server("a.example");
    let anchors = roots.into_iter().map(|root| root.certificate).collect();
    Graph::new(leaf, Vec::new(), anchors)
}

/// An end entity that has expired, below so many CAs on as many paths.
pub fn an_expired_end_entity(paths: usize) -> Graph {
    let root = stranger();
    let middle = authorities(paths, |_| "Middle".to_owned());
    let issuing = Authority::root("Issuing");
    let mut others = Vec::new();
    for one in &middle {
        others.push(root.cross_certify(one));
        others.push(one.cross_certify(&issuing));
    }
    let leaf =
        CertificateForge::server("a.example").valid("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z");
    Graph::new(issuing.issue(leaf), others, vec![root.certificate])
}

/// An anchor with an RSA key of so many bits.
pub fn an_rsa_key(bits: usize) -> Graph {
    let name = Name::common_name("Huge");
    let signer = Key::ed25519("huge");
    let huge = CertificateForge::authority(name.clone(), &signer)
        .public_key_info(key::rsa_public_key_info(bits, 65_537))
        .self_sign(&signer);
    let leaf = CertificateForge::server("a.example").sign(&name, &signer);
    Graph::new(leaf, Vec::new(), vec![huge])
}

/// So many issuers of one name, each with another RSA key of so many bits, below which stands a
/// leaf that none has signed, though its signature has the form of one by each.
pub fn rsa_keys(count: u64, bits: usize) -> Graph {
    let name = Name::common_name("Long");
    let signer = Key::ed25519("long");
    let others = (0..count).map(|number| {
        let long = key::rsa_public_key_info(bits, 65_537 + 2 * number);
        CertificateForge::authority(name.clone(), &signer)
            .public_key_info(long)
            .self_sign(&signer)
    });
    let leaf = CertificateForge::server("a.example")
        .without("2.5.29.35")
        .signature(vec![0x5a; bits / 8])
        .sign(&name, &Key::rsa(RsaTestKey::A));
    Graph::new(leaf, others.collect(), vec![stranger().certificate])
}

/// So many issuers of one name with keys of one kind, made from their names, below which stands a
/// leaf that none has signed, though its signature has the form of one by each.
pub fn keys_of_one_kind(count: usize, key: fn(&str) -> Key) -> Graph {
    let name = Name::common_name("One kind");
    let others = (0..count).map(|number| {
        let key = key(&format!("key {number}"));
        CertificateForge::authority(name.clone(), &key).sign(&name, &Key::ed25519("any"))
    });
    let leaf = CertificateForge::server("a.example")
        .without("2.5.29.35")
        .sign(&name, &key("no one"));
    Graph::new(leaf, others.collect(), vec![stranger().certificate])
}

/// A leaf of so many bytes, which so many issuers of one name may have signed and none has.
pub fn a_long_leaf_below_look_alikes(bytes: usize, count: usize) -> Graph {
    let look_alikes = authorities(count, |_| "Look-alike".to_owned());
    let leaf = CertificateForge::server("a.example")
        .without("2.5.29.35")
        .with(padding(bytes))
        .sign(&"Look-alike".into(), &Key::ed25519("no one"));
    let others = look_alikes.into_iter().map(|one| one.certificate).collect();
    Graph::new(leaf, others, vec![stranger().certificate])
}

/// An extension that no one knows, of so many bytes.
fn padding(bytes: usize) -> Extension {
    Extension::raw(
        "1.3.6.1.4.1.57264.1",
        asn1::octet_string(&vec![0x5a; bytes]),
    )
}

/// One name of so many bytes with so many keys, each of which certifies every other, so that each
/// step compares the whole name.
pub fn long_names(keys: usize, bytes: usize) -> Graph {
    let name = "n".repeat(bytes);
    let authorities = authorities(keys, |_| name.clone());
    let leaf = authorities[0].server("a.example");
    Graph::new(leaf, mutual(&authorities), vec![stranger().certificate])
}

/// Paths that fork at each of so many levels and end below a certificate that names its issuer and
/// the key of it in so many bytes.
pub fn long_dead_ends(levels: usize, bytes: usize) -> Graph {
    let at = |level: usize, number: usize| {
        let name = Name::common_name(&format!("level {level}"));
        Authority::root_with(name, Key::ed25519(&format!("{level} {number}")), |forge| {
            forge
        })
    };
    let mut others = Vec::new();
    for level in 0..levels {
        for (lower, upper) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            let forge = CertificateForge::authority(at(level, lower).name, &at(level, lower).key);
            if level + 1 < levels {
                others.push(at(level + 1, upper).issue(forge));
            } else {
                let forge = forge.with(extension::authority_key_id(&vec![0x5a; bytes]));
                let no_one = Name::common_name(&"no one".repeat(bytes / 6));
                others.push(forge.sign(&no_one, &Key::ed25519(&format!("no one {upper}"))));
            }
        }
    }
    let leaf = at(0, 0).server("a.example");
    Graph::new(leaf, others, vec![stranger().certificate])
}

/// A leaf of so many directory names below a CA of as many constraints, all of them so many bytes
/// long and alike but for their ends.
pub fn long_names_and_constraints(count: usize, bytes: usize) -> Graph {
    let named = |end: &str, number: usize| {
        let text = format!("{}{end}{number}", "n".repeat(bytes));
        GeneralName::directory(Name::common_name(&text))
    };
    let names: Vec<GeneralName> = (0..count).map(|number| named("a", number)).collect();
    let excluded: Vec<GeneralName> = (0..count).map(|number| named("b", number)).collect();
    let root = stranger();
    let issuing = root.intermediate_with("Constrained", Key::ed25519("constrained"), |forge| {
        forge.with(extension::name_constraints(&[], &excluded))
    });
    let leaf = issuing.issue(CertificateForge::server("a.example").names(&names));
    Graph::new(leaf, vec![issuing.certificate], vec![root.certificate])
}

/// A leaf of so many alternative names and so many common names, each of which is the last of the
/// others.
pub fn common_names(count: usize, names: usize) -> Graph {
    let mut subject = Name::empty();
    for _ in 0..count {
        subject = subject.with(name::COMMON_NAME, &format!("{}.com", names - 1));
    }
    with_names(
        CertificateForge::server("a.example").subject(subject),
        names,
    )
}

/// A leaf of so many alternative names, none of which is its common name.
pub fn many_names(names: usize) -> Graph {
    let subject = Name::common_name("a.com");
    with_names(
        CertificateForge::server("a.example").subject(subject),
        names,
    )
}

fn with_names(leaf: CertificateForge, names: usize) -> Graph {
    let names: Vec<GeneralName> = (0..names)
        .map(|number| GeneralName::dns(&format!("{number}.com")))
        .collect();
    let root = stranger();
    let issuing = root.intermediate("Issuing");
    let leaf = issuing.issue(leaf.names(&names));
    Graph::new(leaf, vec![issuing.certificate], vec![root.certificate])
}

/// So many whole paths to an anchor, each refused because its list is signed by none of so many
/// certificates that might have been made to sign it.
pub fn list_signers(paths: u64, signers: usize) -> (Graph, Vec<u8>) {
    let root = Authority::root("Root");
    let middle = Authority::root("Middle");
    let mut others = Vec::new();
    for number in 0..paths {
        let forge = CertificateForge::authority(middle.name.clone(), &middle.key)
            .with(extension::key_usage(&[KeyUsage::KeyCertSign]));
        others.push(root.issue(forge.path_length(number)));
    }
    let usage = extension::key_usage(&[KeyUsage::CrlSign]);
    for number in 0..signers {
        let key = Key::ed25519(&format!("list signer {number}"));
        let forge = CertificateForge::bare(middle.name.clone(), &key).with(usage.clone());
        others.push(forge.sign(&Name::common_name("Other"), &key));
    }
    let leaf = middle.server("a.example");
    let list = CrlForge::complete().sign(&middle.name, &Key::ed25519("no one"));
    (Graph::new(leaf, others, vec![root.certificate]), list)
}

/// A leaf whose subject is a text of so many characters outside ASCII.
pub fn a_subject_outside_ascii(characters: usize) -> Graph {
    let root = stranger();
    let forge = CertificateForge::server("a.example");
    let subject = Name::common_name(&"Ä".repeat(characters));
    let leaf = root.issue(forge.subject(subject));
    Graph::new(leaf, Vec::new(), vec![root.certificate])
}

/// A CA that maps each of its so many policies where no mapping counts.
pub fn mappings_that_do_not_count(policies: usize) -> Graph {
    let policies: Vec<String> = (0..policies)
        .map(|number| format!("1.3.6.1.4.1.57264.{number}"))
        .collect();
    let names: Vec<&str> = policies.iter().map(String::as_str).collect();
    let mappings: Vec<(&str, &str)> = names
        .iter()
        .zip(names.iter().skip(1))
        .map(|(from, to)| (*from, *to))
        .collect();
    let root = Authority::root_with("Root", Key::ed25519("Root"), |forge| {
        forge.with(extension::policy_constraints(None, Some(0)).critical())
    });
    let issuing = root.intermediate_with("Issuing", Key::ed25519("Issuing"), |forge| {
        forge
            .with(extension::certificate_policies(&names))
            .with(extension::policy_mappings(&mappings))
    });
    let leaf = issuing.server("a.example");
    Graph::new(leaf, vec![issuing.certificate], vec![root.certificate])
}

/// A leaf of so many extensions.
pub fn extensions(count: usize) -> Graph {
    let root = stranger();
    let mut leaf = CertificateForge::server("a.example");
    for number in 0..count {
        let oid = format!("1.3.6.1.4.1.57264.{number}");
        leaf = leaf.with_again(Extension::raw(&oid, vec![5, 0]));
    }
    Graph::new(root.issue(leaf), Vec::new(), vec![root.certificate])
}

/// A chain of so many CAs, each of which maps each of so many policies to all of them.
pub fn policies_that_multiply(levels: usize, policies: usize) -> Graph {
    let policies: Vec<String> = (0..policies)
        .map(|number| format!("1.3.6.1.4.1.57264.{number}"))
        .collect();
    let names: Vec<&str> = policies.iter().map(String::as_str).collect();
    let mappings: Vec<(&str, &str)> = names
        .iter()
        .flat_map(|from| names.iter().map(move |to| (*from, *to)))
        .collect();
    let bomb = |forge: CertificateForge| {
        forge
            .with(extension::certificate_policies(&names))
            .with(extension::policy_mappings(&mappings))
    };
    let root = stranger();
    let mut chain = vec![root.intermediate_with("level 0", Key::ed25519("level 0"), bomb)];
    for level in 1..levels {
        let name = format!("level {level}");
        let next = chain[level - 1].intermediate_with(name.as_str(), Key::ed25519(&name), bomb);
        chain.push(next);
    }
    let leaf = CertificateForge::server("a.example").with(extension::certificate_policies(&names));
    let leaf = chain[levels - 1].issue(leaf);
    let others = chain.into_iter().map(|level| level.certificate).collect();
    Graph::new(leaf, others, vec![root.certificate])
}
