//! Whether conditions of IAM contradict each other, so that no token meets all of them. Said only where
//! it is certain: whatever cannot be told from texts counts as if it held.

use std::collections::BTreeMap;

use avouch_core::policy::presets::Preset;
use avouch_core::reason::printable;

use super::Statements;
use super::condition::{Condition, Constraint, Meaning, Seen};
use crate::language::{Common, common};
use crate::trace::Held;

/// All that is asked of one claim.
#[derive(Default)]
struct Asked {
    constraints: Vec<Constraint>,
    must_be_there: bool,
    must_be_away: bool,
    words: Vec<String>,
}

impl Statements {
    /// Why no token is admitted, if that is certain. With `names_are_plain` names have no wildcards in
    /// them, as their issuers see to.
    pub(super) fn contradiction(&self, names_are_plain: bool) -> Option<String> {
        let mut asked: BTreeMap<String, Asked> = BTreeMap::new();
        for condition in &self.allows {
            match self.always(condition) {
                Some(Held::No) => {
                    return Some(format!(
                        "`{}` never holds",
                        printable(&condition.in_words())
                    ));
                }
                Some(_) => {}
                None => self.ask(condition, Meaning::Allow, &mut asked),
            }
        }
        for deny in &self.denies {
            let always: Vec<(&Condition, Option<Held>)> =
                deny.iter().map(|one| (one, self.always(one))).collect();
            let is_certain = always
                .iter()
                .all(|(_, held)| matches!(held, None | Some(Held::Yes)));
            let open: Vec<&Condition> = always
                .iter()
                .filter(|(_, held)| held.is_none())
                .map(|(condition, _)| *condition)
                .collect();
            match open.as_slice() {
                _ if !is_certain => {}
                [] => return Some("a denial takes away everything".to_owned()),
                [only] => self.ask(only, Meaning::Deny, &mut asked),
                // Each of several may be what does not hold.
                _ => {}
            }
        }
        asked
            .iter()
            .find(|(claim, asked)| asked.is_impossible(self.preset, claim, names_are_plain))
            .map(|(claim, asked)| {
                let claim = printable(claim);
                let words = printable(&asked.words.join(" and "));
                format!("no value of `{claim}` meets `{words}`")
            })
    }

    /// What comes of a condition whatever the token is, if that is so.
    fn always(&self, condition: &Condition) -> Option<Held> {
        if condition.is_elsewhere(&self.provider) {
            return Some(Held::Open);
        }
        let is_handed_on = condition.claim(&self.provider, self.preset).is_some();
        (!is_handed_on).then(|| condition.held(&Seen::Absent))
    }

    fn ask(&self, condition: &Condition, meaning: Meaning, asked: &mut BTreeMap<String, Asked>) {
        let Some(claim) = condition.claim(&self.provider, self.preset) else {
            return;
        };
        let (there, away) = condition.presence(meaning);
        let asked = asked.entry(claim).or_default();
        asked.must_be_there |= there;
        asked.must_be_away |= away;
        asked.constraints.extend(condition.constraint(meaning));
        asked.words.push(match meaning {
            Meaning::Allow => condition.in_words(),
            Meaning::Deny => format!("not {}", condition.in_words()),
        });
    }
}

impl Asked {
    fn is_impossible(&self, preset: Option<Preset>, claim: &str, names_are_plain: bool) -> bool {
        let needs_one = self.constraints.iter().any(|one| !one.may_be_absent);
        if self.must_be_away {
            return self.must_be_there || needs_one;
        }
        if !self.must_be_there && !needs_one {
            return false;
        }
        let is_name = matches!(claim, "sub" | "repository" | "ref");
        let excluded: &[char] = match names_are_plain && preset.is_some() && is_name {
            true => &['*', '?'],
            false => &[],
        };
        let (all, some): (Vec<&Constraint>, Vec<&Constraint>) =
            self.constraints.iter().partition(|one| one.of_all);
        let all: Vec<_> = all.iter().map(|one| one.language.clone()).collect();
        let is_empty = |more: &[&Constraint]| {
            let more = more.iter().map(|one| one.language.clone());
            let languages: Vec<_> = all.iter().cloned().chain(more).collect();
            common(&languages, excluded) == Common::None
        };
        if is_one_text(preset, claim) || some.is_empty() {
            return is_empty(&some);
        }
        // Of a list another element may meet each.
        some.iter().any(|one| is_empty(&[one]))
    }
}

/// Whether a claim is never a list.
fn is_one_text(preset: Option<Preset>, claim: &str) -> bool {
    let is_list_of_github = matches!(claim, "amr" | "aud" | "oaud");
    matches!(claim, "azp" | "email" | "sub") || preset == Some(Preset::GitHub) && !is_list_of_github
}
