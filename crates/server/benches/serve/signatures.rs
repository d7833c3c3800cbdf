//! What no one can do without: P-256 signatures that are made and checked, as fast as this processor
//! does them at the moment. Processors that are shared have faster and slower hours, and both the row
//! and its signatures go with them.

use avouch_issuer::signer::{Signer, SigningKind, SoftwareKey};

use crate::measure::{ROUNDS, Round, least_microseconds, median, report, round};

/// How many signatures go into one of what a row counts.
#[derive(Clone, Copy)]
pub(crate) struct Signatures {
    pub(crate) made: u32,
    pub(crate) checked: u32,
}

/// How long one takes, in microseconds.
#[derive(Clone, Copy)]
struct Speed {
    makes: f64,
    checks: f64,
}

/// Of the processor on which the aims of rows were set, with nothing else running.
const WHERE_AIMS_WERE_SET: Speed = Speed {
    makes: 13.1,
    checks: 39.0,
};

impl Speed {
    fn now() -> Self {
        let key = SoftwareKey::generate(SigningKind::P256).unwrap();
        let message = [0x30; 700];
        let signature = key.sign(&message).unwrap();
        let makes = least_microseconds(|| {
            key.sign(&message).unwrap();
        });
        let checks = least_microseconds(|| key.check(&message, &signature).unwrap());
        Self { makes, checks }
    }

    fn of(self, signatures: Signatures) -> f64 {
        self.makes * f64::from(signatures.made) + self.checks * f64::from(signatures.checked)
    }
}

/// Measures a row and prints it: how many per second, and how many times as long each takes as its
/// signatures alone, which are timed before each round.
pub(crate) fn row(
    name: &str,
    count: usize,
    signatures: Signatures,
    aim: Option<f64>,
    mut work: impl FnMut(),
) {
    let measured = |_| (Speed::now(), round(&mut work));
    let (speeds, rounds): (Vec<Speed>, Vec<Round>) = (0..ROUNDS).map(measured).unzip();
    let wanted = aim.map_or_else(String::new, |aim| format!("wanted {aim:.0}"));
    report(name, count, &rounds, &wanted);
    let each = |round: &Round| round.processor.as_secs_f64() * 1e6 / count as f64;
    let (times, least, most) = median(
        rounds
            .iter()
            .zip(&speeds)
            .map(|(round, speed)| each(round) / speed.of(signatures)),
    );
    let (makes, ..) = median(speeds.iter().map(|speed| speed.makes));
    let (checks, ..) = median(speeds.iter().map(|speed| speed.checks));
    println!(
        "    {times:.2} times its signatures ({least:.2} to {most:.2}), {} made and {} checked, which take {makes:.1} and {checks:.1} us here now{}",
        signatures.made,
        signatures.checked,
        aim.map_or_else(String::new, |aim| of_the_aim(aim, signatures)),
    );
}

fn of_the_aim(aim: f64, signatures: Signatures) -> String {
    let Speed { makes, checks } = WHERE_AIMS_WERE_SET;
    let times = 1e6 / aim / WHERE_AIMS_WERE_SET.of(signatures);
    format!("; {aim:.0} is {times:.2} times those of {makes} and {checks} us, where it was set")
}
