//! Claims of those whom nobody meant.

use avouch_core::policy::presets::Preset;
use avouch_core::reason::printable;
use serde_json::json;

use super::Judge;
use super::probes::{NOBODY, with_other_ids};
use crate::configuration::{Admission, System};
use crate::finding::{Code, Finding, Severity};
use crate::sample::{Sample, shape};

/// Names of strangers, no two of which begin or end alike, so that no pattern for the one is one for
/// another.
pub(super) const STRANGERS: [&str; 3] = ["evil-org", NOBODY, "4711-quux"];

/// How many of them come in only if everyone does.
const ENOUGH: usize = 2;

impl Judge<'_> {
    /// Tries claims of someone else altogether; says whether just anyone is admitted.
    pub(super) fn strangers(&mut self, start: &Sample) -> bool {
        let plain = stranger(self.admission, start, STRANGERS[0]);
        if let Some(witness) = self.just_anyone(start) {
            self.anyone(&witness);
            return true;
        }
        let Some(tenant) = shape(self.admission.preset).tenant else {
            return false;
        };
        let name = start.value(tenant.name).unwrap_or_default().to_owned();
        let mut others = vec![plain.clone(), self.namesake(start, "evil-org")];
        for twin in [
            format!("{name}-evil"),
            format!("evil-{name}"),
            format!("evil{name}"),
        ] {
            others.push(self.namesake(start, &twin));
        }
        others.extend(self.branches_called_like(&plain, start));
        let Some(witness) = others
            .iter()
            .find(|sample| self.admits_signed(sample))
            .cloned()
        else {
            return false;
        };
        let called = witness.value(tenant.name).unwrap_or_default();
        let finding = Finding::new(
            Code::WildcardSubject,
            &self.admission.place,
            format!(
                "It means {}, and admits {} as well.",
                self.meant(),
                printable(called)
            ),
            self.narrowest(start),
        );
        let issuer = &self.admission.issuer;
        let is_ours = Preset::shared_with(issuer).is_none() || Preset::named_by(issuer).is_some();
        self.report(
            if is_ours {
                finding.as_grave_as(Severity::Medium)
            } else {
                finding
            },
            &witness,
        );
        false
    }

    /// A stranger, if strangers are admitted whoever they are. Where names stand in the conditions, one of
    /// them may be meant by a pattern, and of several that have nothing in common no more than one.
    fn just_anyone(&self, start: &Sample) -> Option<Sample> {
        let names_someone = !self.names.tenants.is_empty()
            || !self.names.objects.is_empty()
            || self.names.has_tenant_id
            || self.names.has_object_id;
        let enough = if names_someone { ENOUGH } else { 1 };
        let strangers = STRANGERS.map(|name| stranger(self.admission, start, name));
        let mut admitted = strangers.into_iter().filter(|one| self.admits_signed(one));
        let witness = admitted.next()?;
        let is_anyone = admitted.count() + 1 >= enough && !self.is_of_a_group(&witness);
        is_anyone.then_some(witness)
    }

    /// Whether someone is admitted as one of a group, by a list of the token: who is in none of those that
    /// are asked for is refused.
    pub(super) fn is_of_a_group(&self, sample: &Sample) -> bool {
        let is_kind = |path: &[String]| {
            let last = path.last().map_or("", String::as_str);
            matches!(last, "acr" | "amr" | "aud" | "scope" | "scp")
        };
        let lists = self.admission.wishes.iter();
        let mut lists = lists.filter(|wish| wish.is_of_list() && !is_kind(&wish.path));
        lists.any(|wish| {
            let mut other = sample.clone();
            other.set(&wish.path, &json!([NOBODY]));
            !self.admits(&other)
        })
    }

    fn anyone(&mut self, witness: &Sample) {
        let everyone = Preset::shared_with(&self.admission.issuer);
        // An issuer by the name of one customer signs for no other, for as long as the name is theirs.
        let is_ones = Preset::named_by(&self.admission.issuer).is_some();
        let severity = match (everyone, self.system) {
            (Some(_), _) if !is_ones => Severity::Critical,
            (_, System::Aws) => Severity::High,
            // Who may do what is said elsewhere: in bindings, and in roles.
            (Some(_), System::Kubernetes) | (_, System::Gcp) => Severity::Medium,
            (None, System::Kubernetes) => Severity::Info,
        };
        let whom = everyone.map_or_else(
            || {
                format!(
                    "everyone whose tokens {} signs",
                    printable(&self.admission.issuer)
                )
            },
            str::to_owned,
        );
        let why = if self.admission.hints.avoided.is_empty() {
            "no condition that must hold names one of them"
        } else {
            "no condition that must hold names one of them, and to exclude some names nobody"
        };
        let finding = Finding::new(
            Code::IssuerOnlyTrust,
            &self.admission.place,
            format!("It admits {whom}: {why}."),
            self.narrowest(witness),
        );
        self.report(finding.as_grave_as(severity), witness);
    }

    /// Another customer with something of the same name.
    fn namesake(&self, start: &Sample, tenant: &str) -> Sample {
        let mut sample = start.clone();
        let shape = shape(self.admission.preset);
        if let Some(named) = shape.tenant {
            sample.set_text(named.name, tenant);
        }
        with_other_ids(&mut sample, &shape);
        sample
    }

    /// A stranger whose branch or environment is called like what is meant.
    fn branches_called_like(&self, plain: &Sample, start: &Sample) -> Vec<Sample> {
        let object = start.value(shape(self.admission.preset).object.name);
        let object = object.unwrap_or_default().to_owned();
        if self.admission.preset != Some(Preset::GitHub) {
            return Vec::new();
        }
        let named = |claim: &str, value: String| {
            let mut sample = plain.clone();
            sample.set_text(claim, &value);
            sample
        };
        vec![
            named("ref", format!("refs/heads/{object}")),
            named("environment", object),
        ]
    }
}

/// Someone else, with something else, in the same circumstances.
pub(super) fn stranger(admission: &Admission, start: &Sample, name: &str) -> Sample {
    let mut sample = start.clone();
    let shape = shape(admission.preset);
    if !sample.is_composed() && shape.object.name != "sub" {
        let form = Sample::of(admission.preset, &admission.issuer, "x");
        sample.set_form(form.form().to_vec());
    }
    let bare = name.strip_suffix("-org").unwrap_or(name);
    match shape.tenant {
        Some(tenant) => {
            sample.set_text(tenant.name, name);
            let object = if matches!(shape.object.name, "repository" | "project_path") {
                format!("{name}/{bare}")
            } else {
                bare.to_owned()
            };
            sample.set_text(shape.object.name, &object);
            with_other_ids(&mut sample, &shape);
        }
        None if shape.object.name == "sub" => {
            let subject = match name == STRANGERS[0] {
                true => "someone-else",
                false => name,
            };
            sample.set_subject(subject);
            sample.set_text("email", &format!("mallory@{bare}.example"));
            if sample.value("hd").is_some() {
                sample.set_text("hd", &format!("{bare}.example"));
            }
        }
        None => {
            let other = match name {
                NOBODY => "99999999-0000-4000-8000-000000000667",
                one if one == STRANGERS[0] => "00000000-0000-4000-8000-000000000666",
                _ => "a1b2c3d4-0000-4000-8000-000000000668",
            };
            sample.set_text(shape.object.name, other);
        }
    }
    sample
}
