//! A cache of decisions gives the answers that deciding anew would.

use std::sync::Arc;

use avouch_core::anchor::{Anchor, AnchorKind, Constraints, Stewardship};
use avouch_core::budget::{Budget, Limits};
use avouch_core::cache::Cache;
use avouch_core::credential::Credential;
use avouch_core::credential::x509::{Certificate, Crl};
use avouch_core::crypto::AwsLc;
use avouch_core::id::{Digest, TenantId};
use avouch_core::question::{Context, ExpectedName, Profile, Purpose, Question};
use avouch_core::time::Time;
use avouch_core::verdict::Verdict;
use avouch_core::view::View;
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::crl::CrlForge;
use avouch_testkit::key::Key;
use avouch_testkit::moment::Moment;
use avouch_testkit::world::Authority;
use proptest::prelude::*;

use crate::ask::outcome;
use crate::token_ask;

/// A day of January 2024.
type Day = u8;

/// A world in which things begin and end on days of one month.
#[derive(Clone, Debug)]
struct Month {
    leaf: (Day, Day),
    /// Certificates of the one intermediate, by the span in which each is valid.
    intermediates: Vec<(Day, Day)>,
    /// Lists of the intermediate: from, until, and whether it revokes the leaf.
    lists: Vec<(Day, Day, bool)>,
    anchor_expires: Option<Day>,
}

fn month() -> impl Strategy<Value = Month> {
    let span = || (1..10_u8, 15..28_u8);
    let list = (1..20_u8, 10..28_u8, proptest::bool::weighted(0.2));
    (
        span(),
        proptest::collection::vec(span(), 1..3),
        proptest::collection::vec(list, 0..3),
        proptest::option::weighted(0.3, 10..28_u8),
    )
        .prop_map(|(leaf, intermediates, lists, anchor_expires)| Month {
            leaf,
            intermediates,
            lists,
            anchor_expires,
        })
}

/// Moments at which something may just have changed.
fn moments() -> impl Strategy<Value = Vec<Time>> {
    let moment = (1..28_u8, -1..=1_i64);
    let moment = moment.prop_map(|(day, seconds)| at(day).plus(seconds));
    proptest::collection::vec(moment, 1..12)
}

fn text(day: Day) -> String {
    format!("2024-01-{day:02}T00:00:00Z")
}

fn at(day: Day) -> Time {
    Time::parse(&text(day)).unwrap()
}

impl Month {
    fn chain(&self) -> Vec<Vec<u8>> {
        let root = Authority::root("Root");
        let issuing = Authority::root("Issuing");
        let span = |forge: CertificateForge, (from, until): (Day, Day)| {
            forge.valid(text(from).as_str(), text(until).as_str())
        };
        let leaf = issuing.issue(span(CertificateForge::server("a.example"), self.leaf));
        let above = self.intermediates.iter().map(|days| {
            let forge = CertificateForge::authority("Issuing", &Key::ed25519("Issuing"));
            root.issue(span(forge, *days))
        });
        std::iter::once(leaf).chain(above).collect()
    }

    fn view(&self, leaf: &[u8]) -> View {
        let root = Authority::root("Root");
        let issuing = Authority::root("Issuing");
        let lists = self.lists.iter().map(|(from, until, revokes)| {
            let forge =
                CrlForge::complete().dates(text(*from).as_str(), Some(Moment::at(&text(*until))));
            let forge = if *revokes {
                forge.revoke_certificate(leaf)
            } else {
                forge
            };
            Crl::parse(&issuing.crl(forge)).unwrap()
        });
        let anchor = Anchor {
            name: "root".to_owned(),
            kind: AnchorKind::Certificate(Arc::new(Certificate::parse(&root.certificate).unwrap())),
            stewardship: Stewardship {
                expires: self.anchor_expires.map(at),
                ..Stewardship::default()
            },
            constraints: Constraints::default(),
            tenant: TenantId::local(),
            source: None,
        };
        View::new(
            TenantId::local(),
            vec![anchor],
            lists.collect(),
            Vec::new(),
            Digest::of(format!("{self:?}").as_bytes()),
        )
    }

    fn question(&self) -> Question {
        Question {
            tenant: TenantId::local(),
            credential: Credential::X509(self.chain()),
            profile: Profile::Rfc5280,
            purpose: Purpose::Server,
            now: at(1),
            context: Context::default(),
        }
    }
}

fn name(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Accept(sealed) => Some(sealed.preview().name().to_owned()),
        Verdict::Reject(_) | Verdict::Undetermined(_) => None,
    }
}

fn fresh(question: &Question, view: &View) -> Verdict {
    avouch_core::decide(question, view, &AwsLc, &mut Budget::default())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_remembered_decision_is_the_one_that_would_be_made_anew(
        month in month(),
        moments in moments(),
    ) {
        let mut question = month.question();
        let Credential::X509(chain) = &question.credential else { unreachable!() };
        let view = month.view(&chain[0]);
        let cache = Cache::new(AwsLc, 16);
        for now in moments {
            question.now = now;
            let kept = cache.decide(&question, &view, &mut Budget::default());
            let anew = fresh(&question, &view);
            prop_assert_eq!(outcome(kept.verdict()), outcome(&anew), "at {}", now);
            prop_assert_eq!(name(kept.verdict()), name(&anew));
        }
    }

    #[test]
    fn what_is_read_already_is_believed_no_more_and_no_less(
        month in month(),
        moments in moments(),
        stranger in any::<bool>(),
    ) {
        let mut question = month.question();
        let Credential::X509(chain) = &question.credential else { unreachable!() };
        let view = month.view(&chain[0]);
        let read = chain[1..].iter().map(|der| Arc::new(Certificate::parse(der).unwrap()));
        let knowing = view.clone().with_read(read.collect());
        if stranger {
            // One that nobody brings adds nothing to a chain that lacks it.
            question.credential = Credential::X509(vec![chain[0].clone()]);
        }
        prop_assert_eq!(knowing.epoch(), view.epoch());
        for now in moments {
            question.now = now;
            let told = [&knowing, &view].map(|view| format!("{:?}", fresh(&question, view)));
            prop_assert_eq!(&told[0], &told[1], "at {}", now);
        }
    }

    #[test]
    fn a_verdict_holds_from_its_first_second_to_its_last(month in month(), moments in moments()) {
        let mut question = month.question();
        let Credential::X509(chain) = &question.credential else { unreachable!() };
        let view = month.view(&chain[0]);
        for now in moments {
            question.now = now;
            let Verdict::Accept(sealed) = fresh(&question, &view) else { continue };
            let (first, last) = (sealed.preview().valid_from(), sealed.preview().valid_until());
            prop_assert!(first <= now && now <= last);
            for moment in [first, last] {
                question.now = moment;
                prop_assert_eq!(outcome(&fresh(&question, &view)), "accept", "at {}", moment);
            }
        }
    }
}

#[test]
fn a_remembered_decision_costs_nothing_and_says_when_it_was_made() {
    let month = Month {
        leaf: (1, 20),
        intermediates: vec![(1, 20)],
        lists: Vec::new(),
        anchor_expires: None,
    };
    let mut question = month.question();
    question.now = at(5);
    let view = month.view(&[]);
    let cache = Cache::new(AwsLc, 16);
    let first = cache.decide(&question, &view, &mut Budget::default());
    question.now = at(6);
    let mut budget = Budget::default();
    let again = cache.decide(&question, &view, &mut budget);
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(again.at(), at(5));
    assert_eq!(budget.spent(), Budget::default().spent());
}

#[test]
fn a_decision_is_not_remembered_for_another_question() {
    let month = Month {
        leaf: (1, 20),
        intermediates: vec![(1, 20)],
        lists: Vec::new(),
        anchor_expires: None,
    };
    let mut question = month.question();
    question.now = at(5);
    let view = month.view(&[]);
    let cache = Cache::new(AwsLc, 16);
    let kept = cache.decide(&question, &view, &mut Budget::default());
    let changes: [fn(&mut Question); 9] = [
        |question| question.context.require_revocation = true,
        |question| question.tenant = TenantId::parse("another").unwrap(),
        |question| question.profile = Profile::Private,
        |question| question.purpose = Purpose::Any,
        |question| question.context.audiences.push("vault".to_owned()),
        |question| question.context.nonce = Some(String::new()),
        |question| question.context.max_path_length = Some(5),
        |question| question.context.policies.inhibit_any = true,
        |question| {
            let expected = ExpectedName::Dns("b.example".to_owned());
            question.context.expected.push(expected);
        },
    ];
    for change in changes {
        let mut other = question.clone();
        change(&mut other);
        let decided = cache.decide(&other, &view, &mut Budget::default());
        assert!(!Arc::ptr_eq(&kept, &decided));
        assert_eq!(outcome(decided.verdict()), outcome(&fresh(&other, &view)));
    }
    let revoked = Month {
        lists: vec![(1, 20, true)],
        ..month
    };
    let Credential::X509(chain) = &question.credential else {
        unreachable!()
    };
    let view = revoked.view(&chain[0]);
    let decided = cache.decide(&question, &view, &mut Budget::default());
    assert_eq!(outcome(decided.verdict()), "revocation.revoked");
}

#[test]
fn a_decision_is_not_remembered_for_other_limits_nor_with_effects() {
    let ask = token_ask::ask(&token_ask::good());
    let view = ask.view();
    let cache = Cache::new(AwsLc, 16);
    let decide =
        |question: &Question, limits| cache.decide(question, &view, &mut Budget::new(limits));
    let question = ask.question;
    let kept = decide(&question, Limits::default());
    assert!(Arc::ptr_eq(&kept, &decide(&question, Limits::default())));
    let tighter = Limits {
        signature_work: 1,
        ..Limits::default()
    };
    let refused = decide(&question, tighter);
    assert_eq!(outcome(refused.verdict()), "limit.signature_work");
    // A nonce may be used once, so each use has an effect of its own.
    let mut question = question;
    let token = token_ask::good().claim("nonce", "n".into());
    question.credential = Credential::Jwt(token.sign(&token_ask::issuer_key(), "key-1"));
    question.context.nonce = Some("n".to_owned());
    let first = decide(&question, Limits::default());
    assert_eq!(outcome(first.verdict()), "accept");
    assert!(!Arc::ptr_eq(&first, &decide(&question, Limits::default())));
}

#[test]
fn a_remembered_token_ends_with_its_last_second() {
    let ask = token_ask::ask(&token_ask::good());
    let mut question = ask.question.clone();
    let view = ask.view();
    let cache = Cache::new(AwsLc, 16);
    let first = cache.decide(&question, &view, &mut Budget::default());
    let Verdict::Accept(sealed) = first.verdict() else {
        panic!("{:?}", first.verdict());
    };
    let last = sealed.preview().valid_until();
    for (moment, expected) in [(last, "accept"), (last.plus(1), "federation.token_expired")] {
        question.now = moment;
        let decided = cache.decide(&question, &view, &mut Budget::default());
        assert_eq!(outcome(decided.verdict()), expected);
        assert_eq!(outcome(&fresh(&question, &view)), expected);
    }
}
