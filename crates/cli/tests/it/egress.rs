//! Keys of APIs of others, as whoever administers them sees them: going in, and never out.

use crate::plane::Plane;
use crate::run::Ran;

const FIRST: &str = "rk_live_the_first_of_all_keys";
const SECOND: &str = "rk_live_the_second_of_all_keys";

#[test]
fn a_key_goes_in_by_a_file_and_is_not_shown_again() {
    let plane = Plane::start("egress", &[]);
    plane.folder.file("first.key", format!("{FIRST}\n"));
    plane.folder.file("second.key", SECOND);
    let run = |arguments: &[&str]| {
        let all = [&["egress"], arguments, &["--tenant", "demo"]].concat();
        let ran: Ran = plane.run(&all);
        assert!(
            !ran.out.contains("rk_live") && !ran.err.contains("rk_live"),
            "{ran:?}"
        );
        ran
    };
    let allow = "spiffe://demo.avouch.test/billing";
    let put = [
        "put",
        "stripe",
        "--url",
        "https://api.stripe.com",
        "--allow",
        allow,
    ];
    let without = run(&put);
    assert_ne!(without.code, 0, "{without:?}");
    assert!(without.err.contains("key"), "{without:?}");
    let with = [&put[..], &["--method", "POST", "--path", "/v1/charges"]].concat();
    let with = run(&[&with[..], &["--key-file", "first.key"]].concat());
    assert_eq!(with.code, 0, "{with:?}");
    // What is shown can be changed and put again, and the key stays.
    let shown = run(&["show", "stripe", "-o", "json"]);
    assert_eq!(shown.json()["rules"][0]["methods"][0], "POST");
    plane.folder.file("stripe.json", &shown.out);
    assert_eq!(run(&["put", "stripe", "-f", "stripe.json"]).code, 0);
    let rotated = run(&["rotate", "stripe", "--key-file", "second.key", "-o", "json"]);
    assert_eq!(rotated.code, 0, "{rotated:?}");
    let keys = |ran: &Ran| ran.json()["egress"][0]["keys"].clone();
    let both = keys(&run(&["list", "-o", "json"]));
    assert_eq!(both.as_array().unwrap().len(), 2);
    assert_eq!(run(&["promote", "stripe"]).code, 0);
    let later = keys(&run(&["list", "-o", "json"]));
    assert_eq!((&later[0], later.as_array().unwrap().len()), (&both[1], 1));
    assert!(run(&["list"]).out.contains("https://api.stripe.com"));
    assert_eq!(run(&["delete", "stripe"]).code, 0);
    assert_ne!(run(&["show", "stripe"]).code, 0);
    // Nothing of it is in what the server wrote.
    assert!(!plane.log().contains("rk_live"));
}

#[test]
fn there_is_advice_about_an_api_that_knows_no_identities() {
    let plane = crate::run::Folder::new("advise");
    let drawn = plane.run(&["advise", "stripe"]);
    assert_eq!(drawn.code, 0, "{drawn:?}");
    for word in [
        "federation (not to be had)",
        "restricted key",
        "egress broker",
        "Cost:",
    ] {
        assert!(drawn.out.contains(word), "{word}: {}", drawn.out);
    }
    let listed = plane.run(&["advise", "stripe", "-o", "json"]).json();
    assert_eq!(listed["options"].as_array().unwrap().len(), 6);
    assert_eq!(listed["pick"][0], "egress broker");
}
