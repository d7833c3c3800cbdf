//! What is answered about one certificate (OCSP).

use std::io::{Read, Write};
use std::net::TcpStream;

use avouch_core::credential::x509::Certificate;
use avouch_core::id::Digest;
use avouch_testkit::asn1;
use base64ct::{Base64, Encoding};
use serde_json::json;

use crate::damaged::damage;
use crate::world::World;

const MALFORMED: [u8; 5] = [0x30, 3, 0x0a, 1, 1];
const TRY_LATER: [u8; 5] = [0x30, 3, 0x0a, 1, 3];
const UNAUTHORIZED: [u8; 5] = [0x30, 3, 0x0a, 1, 6];
const GOOD: [u8; 2] = [0x80, 0];
const UNKNOWN: [u8; 2] = [0x82, 0];

/// An answer, whose body is no text.
#[derive(Debug)]
struct Answered {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answered {
    fn has(&self, part: &[u8]) -> bool {
        self.body.windows(part.len()).any(|window| window == part)
    }

    /// What is said of a certificate.
    fn says(&self, id: &[u8], status: &[u8]) -> bool {
        self.status == 200 && self.has(&[id, status].concat())
    }
}

fn send(world: &World, head: &str, body: &[u8]) -> Answered {
    let mut stream = TcpStream::connect(world.address).unwrap();
    let length = body.len();
    let head =
        format!("{head}\r\nhost: test\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let end = all.windows(4).position(|window| window == b"\r\n\r\n");
    let (head, body) = all.split_at(end.unwrap() + 4);
    let head = String::from_utf8(head.to_vec()).unwrap().to_lowercase();
    Answered {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head,
        body: body.to_vec(),
    }
}

fn post(world: &World, tenant: &str, request: &[u8]) -> Answered {
    let head = format!("POST /t/{tenant}/ocsp HTTP/1.1\r\ncontent-type: application/ocsp-request");
    send(world, &head, request)
}

fn get(world: &World, tenant: &str, request: &[u8]) -> Answered {
    let request = Base64::encode_string(request);
    let request = request.replace('+', "%2B").replace('=', "%3D");
    send(
        world,
        &format!("GET /t/{tenant}/ocsp/{request} HTTP/1.1"),
        &[],
    )
}

/// How a certificate is named, by digests of SHA-256.
fn id(issuer: &[u8], serial: &[u8]) -> Vec<u8> {
    let issuer = Certificate::parse(issuer).unwrap();
    let key = issuer.public_key_info();
    // The point of P-256 at the end of its `SubjectPublicKeyInfo`.
    let key = &key[key.len().saturating_sub(65)..];
    asn1::sequence([
        asn1::sequence([asn1::oid("2.16.840.1.101.3.4.2.1")]),
        asn1::octet_string(Digest::of(issuer.subject().der()).as_bytes()),
        asn1::octet_string(Digest::of(key).as_bytes()),
        [&[2, u8::try_from(serial.len()).unwrap()], serial].concat(),
    ])
}

/// How the first certificate of a chain is named.
fn id_of(chain: &[Vec<u8>]) -> Vec<u8> {
    id(&chain[1], Certificate::parse(&chain[0]).unwrap().serial())
}

fn request(ids: &[&[u8]], nonce: Option<&[u8]>) -> Vec<u8> {
    let list = ids.iter().map(|id| asn1::sequence([id]));
    let mut question = vec![asn1::sequence(list)];
    if let Some(nonce) = nonce {
        let oid = asn1::oid("1.3.6.1.5.5.7.48.1.2");
        let value = asn1::octet_string(&asn1::octet_string(nonce));
        let extensions = asn1::sequence([asn1::sequence([oid, value])]);
        question.push(asn1::constructed(2, &extensions));
    }
    asn1::sequence([asn1::sequence(question)])
}

fn revoke(world: &World, tenant: &str, id: &str) {
    let path = format!("/v1/tenants/{tenant}/revoke-certificates");
    let asked = json!({"spiffe_id": id, "reason": "key_compromise"});
    let revoked = world.send(&world.operator(), "POST", &path, &asked);
    assert_eq!(revoked.status, 200, "{}", revoked.body);
}

#[test]
fn a_certificate_is_good_until_it_is_revoked_and_the_answer_is_kept_as_long() {
    let world = World::new();
    let svid = world.svid("spiffe://one.test/web");
    let id = id_of(&svid.chain);
    let asked = request(&[&id], None);
    let first = post(&world, "one", &asked);
    assert!(first.says(&id, &GOOD), "{first:?}");
    assert!(
        first
            .head
            .contains("content-type: application/ocsp-response")
    );
    assert!(
        first.head.contains("cache-control: no-store"),
        "{}",
        first.head
    );
    // Signed once for all who ask.
    assert_eq!(post(&world, "one", &asked).body, first.body);
    let fetched = get(&world, "one", &asked);
    assert_eq!(fetched.body, first.body);
    let kept = "cache-control: public, max-age=300, no-transform, must-revalidate";
    assert!(fetched.head.contains(kept), "{}", fetched.head);
    assert!(fetched.head.contains("etag: "), "{}", fetched.head);
    // A nonce makes an answer one of its own.
    let nonce = [7; 32];
    let own = post(&world, "one", &request(&[&id], Some(&nonce)));
    assert!(own.says(&id, &GOOD) && own.has(&nonce), "{own:?}");
    assert!(!first.has(&nonce));
    // At once, and not when what is kept ends.
    revoke(&world, "one", "spiffe://one.test/web");
    let after = post(&world, "one", &asked);
    assert!(!after.says(&id, &GOOD), "{after:?}");
    // RevokedInfo with `keyCompromise`.
    assert!(
        after.says(&id, &[0xa1]) && after.has(&[0xa0, 3, 0x0a, 1, 1]),
        "{after:?}"
    );
    assert_eq!(get(&world, "one", &asked).body, after.body);
    let own = post(&world, "one", &request(&[&id], Some(&nonce)));
    assert!(own.says(&id, &[0xa1]) && own.has(&nonce), "{own:?}");
}

#[test]
fn what_is_of_another_tenant_answers_as_what_nobody_has_issued() {
    let world = World::new();
    let own = world.svid("spiffe://one.test/web");
    let (known, other) = (
        id_of(&own.chain),
        id_of(&world.svid("spiffe://two.test/web").chain),
    );
    let nobody = id(&own.chain[1], &[0x40; 16]);
    let other_serial = id(&own.chain[1], &other[other.len() - 16..]);
    let key = id(&own.chain[0], &[0x41; 16]);
    let root = {
        let one = world.plane.tenant_named("one").unwrap().unwrap();
        one.read(|held| {
            let all = held.authorities.values();
            let mut all = all.filter_map(|one| one.certificates.get(1).cloned());
            all.next().unwrap()
        })
    };
    let above = id(&root, Certificate::parse(&own.chain[1]).unwrap().serial());
    for (what, ids) in [
        ("another tenant's", vec![&other]),
        ("nobody's", vec![&nobody]),
        ("another tenant's number", vec![&other_serial]),
        ("of an issuer that is none", vec![&key]),
        ("of two tenants", vec![&known, &other]),
        ("of two authorities", vec![&known, &above]),
    ] {
        let ids: Vec<&[u8]> = ids.into_iter().map(Vec::as_slice).collect();
        let answer = post(&world, "one", &request(&ids, None));
        assert_eq!(
            (answer.status, answer.body),
            (200, UNAUTHORIZED.to_vec()),
            "{what}"
        );
        let answer = post(&world, "one", &request(&ids, Some(&[1; 16])));
        assert_eq!(answer.body, UNAUTHORIZED, "{what}");
    }
    // Beside one that is known, it is unknown.
    let both = post(&world, "one", &request(&[&known, &nobody], None));
    assert!(
        both.says(&known, &GOOD) && both.says(&nobody, &UNKNOWN),
        "{both:?}"
    );
    // An authority is answered for by the one above it.
    let answer = post(&world, "one", &request(&[&above], None));
    assert!(answer.says(&above, &GOOD), "{answer:?}");
    assert_eq!(post(&world, "none", &request(&[&known], None)).status, 404);
    assert_eq!(
        post(&world, "two", &request(&[&known], None)).body,
        UNAUTHORIZED
    );
}

#[test]
fn a_request_that_cannot_be_read_is_malformed() {
    let world = World::new();
    let id = id_of(&world.svid("spiffe://one.test/web").chain);
    let long = request(&[&id], Some(&[1; 129]));
    let empty = request(&[&id], Some(&[]));
    let many = vec![id.as_slice(); 33];
    for body in [
        b"".to_vec(),
        b"x".to_vec(),
        long,
        empty,
        request(&many, None),
    ] {
        let answer = post(&world, "one", &body);
        assert_eq!((answer.status, answer.body), (200, MALFORMED.to_vec()));
    }
    for path in ["AAAA", "not-base64", "MAA="] {
        let answer = send(&world, &format!("GET /t/one/ocsp/{path} HTTP/1.1"), &[]);
        assert_eq!((answer.status, answer.body), (200, MALFORMED.to_vec()));
    }
    let head = "POST /t/one/ocsp HTTP/1.1\r\ncontent-type: application/json";
    let answer = send(&world, head, &request(&[&id], None));
    assert_eq!((answer.status, answer.body[6]), (200, 0));
    assert_eq!(post(&world, "one", &[0x30; 17 << 10]).status, 413);
}

#[test]
fn while_the_store_is_away_what_was_signed_counts_on() {
    let world = World::new();
    let svid = world.svid("spiffe://one.test/web");
    let id = id_of(&svid.chain);
    let other = id_of(&world.svid("spiffe://one.test/other").chain);
    let asked = request(&[&id], None);
    let before = post(&world, "one", &asked);
    world.store_away(true);
    assert_eq!(post(&world, "one", &asked).body, before.body);
    // Without the nonce, which nothing can be signed for now.
    let own = post(&world, "one", &request(&[&id], Some(&[7; 32])));
    assert_eq!((own.status, own.body), (200, before.body));
    // Of what nothing is kept it is told in the words of OCSP that it may be asked again.
    for nonce in [None, Some(&[7; 32][..])] {
        let later = post(&world, "one", &request(&[&other], nonce));
        assert_eq!((later.status, later.body), (200, TRY_LATER.to_vec()));
    }
    let later = get(&world, "one", &request(&[&id, &other], None));
    assert_eq!((later.status, later.body), (200, TRY_LATER.to_vec()));
    assert!(!later.head.contains("max-age"), "{}", later.head);
    world.store_away(false);
    assert!(post(&world, "one", &request(&[&other], None)).says(&other, &GOOD));
    assert!(post(&world, "one", &request(&[&id], Some(&[7; 32]))).has(&[7; 32]));
}

#[test]
fn whoever_asks_again_and_again_makes_no_more_signed_than_a_bound() {
    let world = World::new();
    let svid = world.svid("spiffe://one.test/web");
    let id = id_of(&svid.chain);
    let nonce = [7; 32];
    let asked = request(&[&id], Some(&nonce));
    // Who asks about what nobody has issued takes nothing of it.
    for serial in 0..200 {
        let nobody = self::id(&svid.chain[1], &[&[0x41; 15][..], &[serial]].concat());
        let answer = post(&world, "one", &request(&[&nobody], Some(&nonce)));
        assert_eq!(answer.body, UNAUTHORIZED);
    }
    let is_without = |answer: &Answered| {
        assert!(answer.says(&id, &GOOD), "{answer:?}");
        !answer.has(&nonce)
    };
    assert!(!is_without(&post(&world, "one", &asked)));
    // RFC 6960 4.4.1: who insists on it may ask again later.
    let signed = (0..1_000).take_while(|_| !is_without(&post(&world, "one", &asked)));
    let signed = signed.count();
    assert!((100..600).contains(&signed), "{signed}");
    // Some is left for what is kept.
    let third = id_of(&world.svid("spiffe://one.test/third").chain);
    let kept = post(&world, "one", &request(&[&third], Some(&nonce)));
    assert!(kept.says(&third, &GOOD) && !kept.has(&nonce), "{kept:?}");
    let several = request(&[&id, &id], None);
    let later = (0..100).any(|_| post(&world, "one", &several).body == TRY_LATER);
    assert!(later, "no end of it");
    // Nobody else is concerned.
    let other = id_of(&world.svid("spiffe://two.test/web").chain);
    assert!(post(&world, "two", &request(&[&other], Some(&nonce))).has(&nonce));
}

#[test]
fn an_authority_that_was_revoked_answers_no_more_and_is_revoked_itself() {
    let world = World::new();
    let svid = world.svid("spiffe://one.test/web");
    let leaf = id_of(&svid.chain);
    let one = world.plane.tenant_named("one").unwrap().unwrap();
    let (authority, root) = one.read(|held| {
        let all = held.authorities.values();
        let mut all = all.filter(|one| one.certificates.first() == Some(&svid.chain[1]));
        let found = all.next().unwrap();
        (found.id.to_string(), found.certificates[1].clone())
    });
    let above = id(&root, Certificate::parse(&svid.chain[1]).unwrap().serial());
    let step = |step: &str, body: serde_json::Value| {
        let path = format!("/v1/tenants/one/authorities/{authority}/{step}");
        let done = world.send(&world.operator(), "POST", &path, &body);
        assert!(done.is_put(), "{}", done.body);
    };
    step("taint", json!({}));
    assert!(post(&world, "one", &request(&[&leaf], None)).says(&leaf, &GOOD));
    step("revoke", json!({"anyway": true}));
    assert_eq!(
        post(&world, "one", &request(&[&leaf], None)).body,
        UNAUTHORIZED
    );
    let answer = post(&world, "one", &request(&[&above], None));
    // RevokedInfo with `cACompromise`.
    assert!(
        answer.says(&above, &[0xa1]) && answer.has(&[0xa0, 3, 0x0a, 1, 2]),
        "{answer:?}"
    );
}

#[test]
fn however_many_ask_first_one_answer_is_signed() {
    let world = World::new();
    let svid = world.svid("spiffe://one.test/web");
    let asked = request(&[&id_of(&svid.chain)], None);
    let start = std::sync::Barrier::new(24);
    let answers: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..24)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    post(&world, "one", &asked).body
                })
            })
            .collect();
        let answers = asking.into_iter().map(|one| one.join().unwrap());
        answers.collect()
    });
    // Two signatures differ, by whatever they are made.
    assert!(answers.iter().all(|one| *one == answers[0]));
    assert!(answers[0].len() > 100);
}

#[test]
fn a_name_with_something_inside_its_null_is_malformed() {
    let world = World::new();
    let svid = world.svid("spiffe://one.test/web");
    let id = id_of(&svid.chain);
    // The algorithm at its head, once with a NULL and once with one that has content.
    let bare = asn1::sequence([asn1::oid("2.16.840.1.101.3.4.2.1")]);
    let at = id.windows(bare.len()).position(|window| window == bare);
    let rest = &id[at.unwrap() + bare.len()..];
    let with = |null: &[u8]| {
        let algorithm = asn1::sequence([asn1::oid("2.16.840.1.101.3.4.2.1").as_slice(), null]);
        asn1::sequence([algorithm.as_slice(), rest])
    };
    let null = with(&[5, 0]);
    let good = post(&world, "one", &request(&[&null], None));
    assert!(good.says(&null, &GOOD), "{good:?}");
    for stuffed in 0..3 {
        let answer = post(
            &world,
            "one",
            &request(&[&with(&[5, 4, 1, 2, 3, stuffed])], None),
        );
        assert_eq!(answer.body, MALFORMED);
    }
}

#[test]
fn who_guesses_serial_numbers_has_no_more_read_than_a_bound() {
    let world = World::new();
    let svid = world.svid("spiffe://one.test/web");
    let known = id_of(&svid.chain);
    let before = post(&world, "one", &request(&[&known], None));
    let guesses = |round: u8| -> Vec<Vec<u8>> {
        let serial = |number: u8| [&[0x41; 14][..], &[round, number]].concat();
        (0..32)
            .map(|number| id(&svid.chain[1], &serial(number)))
            .collect()
    };
    let later = (0..60).any(|round| {
        let ids = guesses(round);
        let ids: Vec<&[u8]> = ids.iter().map(Vec::as_slice).collect();
        post(&world, "one", &request(&ids, None)).body == TRY_LATER
    });
    assert!(later, "no end of it");
    // What is kept is answered on, and a number that is never given is looked for nowhere.
    assert_eq!(
        post(&world, "one", &request(&[&known], None)).body,
        before.body
    );
    let never = id(&svid.chain[1], &[0x41; 12]);
    let answer = post(&world, "one", &request(&[&never], None));
    assert_eq!(answer.body, UNAUTHORIZED);
    let other = id_of(&world.svid("spiffe://two.test/web").chain);
    assert!(post(&world, "two", &request(&[&other], None)).says(&other, &GOOD));
}

#[test]
fn a_request_in_an_address_may_be_written_with_slashes_or_without() {
    let world = World::new();
    let svid = world.svid("spiffe://one.test/web");
    let id = id_of(&svid.chain);
    // Base64 writes bits that are all set as slashes.
    let asked = request(&[&id], Some(&[0xff; 32]));
    let text = Base64::encode_string(&asked);
    assert!(text.contains("//"), "{text}");
    let text = text.replace('+', "%2B").replace('=', "%3D");
    for text in [
        text.clone(),
        text.replace('/', "%2F"),
        text.replace('/', "%2f"),
    ] {
        let answer = send(&world, &format!("GET /t/one/ocsp/{text} HTTP/1.1"), &[]);
        assert!(
            answer.says(&id, &GOOD) && answer.has(&[0xff; 32]),
            "{answer:?}"
        );
    }
}

#[test]
fn of_a_tenant_of_which_something_cannot_be_read_no_certificate_is_said_to_be_good() {
    let world = World::new();
    let svid = world.svid("spiffe://one.test/web");
    let id = id_of(&svid.chain);
    let asked = request(&[&id], None);
    assert!(post(&world, "one", &asked).says(&id, &GOOD));
    let mend = damage(world.folder(), "one");
    world.plane.follow_store().unwrap();
    assert_eq!(post(&world, "one", &asked).body, TRY_LATER);
    mend();
    world.plane.follow_store().unwrap();
    assert!(post(&world, "one", &asked).says(&id, &GOOD));
}
