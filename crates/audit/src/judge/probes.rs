//! One change at a time, and what it means when the changed claims are admitted.

use avouch_core::policy::presets::Preset;
use avouch_core::reason::printable;
use serde_json::Value;

use super::Judge;
use super::start::texts;
use crate::configuration::System;
use crate::finding::{Code, Finding, Severity};
use crate::sample::{Part, Sample, read_subject, shape};

impl Judge<'_> {
    fn is_named_for_good(&self) -> bool {
        self.names.has_tenant_id || self.names.has_object_id
    }

    /// Whom the configuration names, in words.
    pub(super) fn meant(&self) -> String {
        let mut names = self.names.tenants.clone();
        names.sort();
        names.dedup();
        if names.is_empty() {
            names = self.names.objects.clone();
        }
        if names.is_empty() {
            return "someone".to_owned();
        }
        let names: Vec<String> = names.iter().map(|name| printable(name)).collect();
        names.join(" and ")
    }

    /// Tries what else the same customer has.
    pub(super) fn siblings(&mut self, start: &Sample) {
        let shape = shape(self.admission.preset);
        let object = shape.object.name;
        let Some(name) = start.value(object).map(str::to_owned) else {
            return;
        };
        if object == "sub" && self.is_of_a_group(start) {
            // The others of a group are meant, too.
            return;
        }
        let twins = [format!("{name}-evil"), prefixed(&name), unrelated(&name)];
        let found = twins.iter().find_map(|twin| {
            let mut sample = start.clone();
            if object == "sub" {
                sample.set_subject(twin);
            } else {
                sample.set_text(object, twin);
                if let Some(id) = shape.object.id {
                    sample.set_text(id, OTHER_OBJECT);
                }
            }
            self.admits_signed(&sample)
                .then_some((twin.clone(), sample))
        });
        let Some((twin, witness)) = found else {
            return;
        };
        let is_whole = self.names.objects.is_empty();
        let (sentence, severity) = if is_whole {
            (
                format!(
                    "It admits whatever is {}'s, also what is made tomorrow, such as {}.",
                    self.meant(),
                    printable(&twin)
                ),
                if self.is_named_for_good() || shape.tenant.is_some_and(|one| one.id.is_none()) {
                    Severity::Medium
                } else {
                    Severity::High
                },
            )
        } else {
            (
                format!(
                    "A name that only begins or ends alike is admitted: {}.",
                    printable(&twin)
                ),
                Severity::High,
            )
        };
        let finding = Finding::new(
            Code::WildcardSubject,
            &self.admission.place,
            sentence,
            self.narrowest(start),
        );
        self.report(finding.as_grave_as(severity), &witness);
    }

    /// Tries the same names in other hands.
    pub(super) fn names_that_pass(&mut self, start: &Sample) {
        let shape = shape(self.admission.preset);
        let has_ids = shape.object.id.is_some() || shape.tenant.is_some_and(|one| one.id.is_some());
        if !has_ids {
            return;
        }
        let mut sample = start.clone();
        with_other_ids(&mut sample, &shape);
        if !self.admits_signed(&sample) {
            return;
        }
        let is_shared = Preset::shared_with(&self.admission.issuer).is_some();
        let severity = match (self.admission.preset, self.system) {
            (Some(Preset::Kubernetes), _) => Severity::Low,
            (Some(Preset::GitHub), _) if is_shared => Severity::High,
            // AWS hands on no id of other issuers, so nothing better can be written there.
            (_, System::Aws) => Severity::Medium,
            _ if is_shared => Severity::High,
            _ => Severity::Medium,
        };
        let finding = Finding::new(
            Code::MutableNameSubject,
            &self.admission.place,
            "It goes by names: who takes a name that was given up, by renaming, deleting or transfer, \
             is admitted.",
            self.narrowest(start),
        );
        self.report(finding.as_grave_as(severity), &sample);
        self.ambiguous(start);
    }

    /// The form that GitHub announced first had its ids after `-`, which names may have too.
    fn ambiguous(&mut self, start: &Sample) {
        if self.admission.preset != Some(Preset::GitHub) || start.has_ids_in_subject() {
            return;
        }
        let ends_in_id = |name: &str| {
            name.rsplit_once('-')
                .is_some_and(|(_, id)| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()))
        };
        let repository = start.value("repository").unwrap_or_default();
        let is_ambiguous = repository
            .split_once('/')
            .is_some_and(|(owner, name)| ends_in_id(owner) && ends_in_id(name));
        if !is_ambiguous {
            return;
        }
        let finding = Finding::new(
            Code::AmbiguousSubjectFormat,
            &self.admission.place,
            format!(
                "`{}` is read as ids and may be names: whoever makes an organization and a repository \
                 of these names is admitted, and tokens with ids are not.",
                printable(repository)
            ),
            "Write the ids after `@`, as `repo:<owner>@<id>/<repository>@<id>:…`.",
        );
        let mut sample = start.clone();
        with_other_ids(&mut sample, &shape(self.admission.preset));
        self.report(finding, &sample);
    }

    /// Tries jobs that run for what others propose.
    pub(super) fn contexts(&mut self, start: &Sample) {
        match self.admission.preset {
            Some(Preset::GitHub) => self.github_events(start),
            Some(Preset::GitLab) => {
                let mut sample = start.clone();
                sample.set_text("ref", "feature/from-outside");
                sample.set_text("ref_protected", "false");
                sample.set_text("pipeline_source", "merge_request_event");
                if self.admits(&sample) {
                    let finding = Finding::new(
                        Code::UntrustedTriggerContext,
                        &self.admission.place,
                        "Pipelines of merge requests, and of branches that anyone with access may push, \
                         are admitted.",
                        "Ask for `ref_protected = true`, or for one `ref` in the subject.",
                    );
                    self.report(finding, &sample);
                }
            }
            Some(Preset::HcpTerraform) => {
                let mut sample = start.clone();
                sample.set_text("terraform_run_phase", "plan");
                let is_meant = start.value("terraform_run_phase") == Some("plan");
                if !is_meant && self.admits(&sample) {
                    let finding = Finding::new(
                        Code::PlanPhaseAdmitted,
                        &self.admission.place,
                        "Plans are admitted, which run for whatever is proposed and before anyone confirms.",
                        "End the subject with `:run_phase:apply`, and give plans a role that only reads.",
                    );
                    self.report(finding, &sample);
                }
            }
            _ => {}
        }
    }

    fn github_events(&mut self, start: &Sample) {
        let mut proposed = start.clone();
        proposed.remove_environment();
        proposed.set_text("event_name", "pull_request");
        proposed.set_text("ref", "refs/pull/7/merge");
        proposed.set_text("ref_type", "branch");
        if self.admits_signed(&proposed) {
            let finding = Finding::new(
                Code::UntrustedTriggerContext,
                &self.admission.place,
                "Jobs of pull requests are admitted, which run what others propose.",
                "Ask for an environment (`:environment:<name>` in the subject), and protect that.",
            );
            self.report(finding, &proposed);
            return;
        }
        if self.other_environments(start) {
            return;
        }
        let mut on_base = start.clone();
        on_base.remove_environment();
        on_base.set_text("event_name", "pull_request_target");
        if self.admits_signed(&on_base) {
            let finding = Finding::new(
                Code::BaseRefTriggerAdmitted,
                &self.admission.place,
                "Jobs of `pull_request_target` and `workflow_run` are admitted: they have the base branch in \
                 their subject, and handle what others propose.",
                "Ask for an environment, or for the `event_name` where the system can.",
            );
            self.report(finding, &on_base);
        }
    }

    /// Tries jobs of pull requests that name an environment that nobody has made: GitHub makes it then, and
    /// protects it with nothing. Says whether one is admitted.
    fn other_environments(&mut self, start: &Sample) -> bool {
        let Some(meant) = start.value("environment").map(str::to_owned) else {
            return false;
        };
        let of_pull_request = |environment: &str| {
            let mut sample = start.clone();
            sample.set_text("event_name", "pull_request");
            sample.set_text("ref", "refs/pull/7/merge");
            sample.set_text("ref_type", "branch");
            sample.set_text("environment", environment);
            sample
        };
        let any = of_pull_request(NOBODY);
        if self.admits_signed(&any) {
            let finding = Finding::new(
                Code::UntrustedTriggerContext,
                &self.admission.place,
                "Jobs of pull requests are admitted if they name an environment, whichever: GitHub makes one \
                 that there is not yet when a job names it, and does not protect it.",
                "Ask for one environment by its whole name, and protect that.",
            );
            self.report(finding, &any);
            return true;
        }
        let twins = [format!("{meant}-evil"), format!("evil-{meant}")];
        let alike = twins
            .iter()
            .map(|twin| (twin, of_pull_request(twin)))
            .find(|(_, sample)| self.admits_signed(sample));
        let Some((twin, witness)) = alike else {
            return false;
        };
        let finding = Finding::new(
            Code::WildcardSubject,
            &self.admission.place,
            format!(
                "An environment whose name only begins or ends alike is admitted, {}: GitHub makes it when a \
                 job of a pull request names it, and does not protect it.",
                printable(twin)
            ),
            "Ask for one environment by its whole name, and protect that.",
        );
        self.report(finding, &witness);
        true
    }

    /// Tries the subject that GitHub writes since July 2026 for what is made, renamed or
    /// transferred.
    pub(super) fn old_format(&mut self, start: &Sample) {
        let is_server_of_ones_own = self.admission.issuer.ends_with("/_services/token");
        let is_about = self.admission.preset == Some(Preset::GitHub)
            && self.names.has_subject
            && start.form().contains(&Part::Repository { ids: false })
            && start.is_composed()
            && !is_server_of_ones_own;
        if !is_about {
            return;
        }
        let mut sample = start.clone();
        let form = start.form().iter().map(|part| match part {
            Part::Repository { .. } => Part::Repository { ids: true },
            other => other.clone(),
        });
        sample.set_form(form.collect());
        if self.admits(&sample) {
            return;
        }
        let mut finding = Finding::new(
            Code::OldSubjectFormat,
            &self.admission.place,
            "Once the repository is renamed or transferred, its tokens carry ids in the subject, and are \
             refused here.",
            format!(
                "Add the value `{}`, with the ids of yours.",
                printable(
                    sample
                        .claims()
                        .get("sub")
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                )
            ),
        );
        let claims = self.relevant(&sample.claims());
        finding = finding.proved_by(claims);
        if let Some(witness) = &mut finding.witness {
            witness.admitted = false;
        }
        self.found.push(finding);
    }

    /// Tries claims without one that is asked for.
    pub(super) fn vacuous(&mut self, start: &Sample) {
        let wishes = self.admission.wishes.clone();
        for wish in &wishes {
            let mut without = start.clone();
            without.remove(&wish.path);
            if !self.admits(&without) {
                continue;
            }
            // It must matter when it is there, as a text and as a list: of two alternatives either may be
            // missing, and what is only read is no condition.
            let text = Value::String(NOBODY.to_owned());
            let matters = [text.clone(), Value::Array(vec![text])]
                .iter()
                .all(|value| {
                    let mut other = start.clone();
                    match value.as_str().filter(|_| wish.is_about("sub")) {
                        Some(subject) => other.set_raw_subject(subject.to_owned()),
                        None => other.set(&wish.path, value),
                    }
                    !self.admits(&other)
                });
            if !matters {
                continue;
            }
            let claim = printable(&wish.path.join("."));
            let finding = Finding::new(
                Code::VacuousCondition,
                &self.admission.place,
                format!(
                    "A token without `{claim}` is admitted, whatever the condition on it says."
                ),
                match self.system {
                    System::Aws => format!(
                        "Use `StringEquals` or `StringLike` for `{claim}`, without `ForAllValues:` and \
                         `IfExists`."
                    ),
                    System::Gcp | System::Kubernetes => {
                        format!(
                            "Require it: `has(…{claim}) && …` instead of `!has(…{claim}) || …`."
                        )
                    }
                },
            );
            self.report(finding, &without);
        }
    }

    /// Tries a token for someone else.
    pub(super) fn audience(&mut self, start: &Sample) {
        let mut sample = start.clone();
        sample.set_text("aud", "https://other-service.example");
        if !self.admits(&sample) {
            return;
        }
        let finding = Finding::new(
            Code::AudienceMissingOrShared,
            &self.admission.place,
            "No condition names the audience: a token for any client id of the provider is admitted, \
             whichever service it was made for.",
            format!(
                "Add `\"{}:aud\": \"sts.amazonaws.com\"` to `StringEquals`.",
                printable(self.admission.issuer.trim_start_matches("https://"))
            ),
        );
        // The client ids of the provider bound it, and they are not in the policy.
        self.report(finding.as_grave_as(Severity::Medium), &sample);
    }

    /// Tries names with other letters.
    pub(super) fn case(&mut self, start: &Sample) {
        let shape = shape(self.admission.preset);
        let claim = if self.names.objects.is_empty() {
            shape.tenant.map_or(shape.object.name, |tenant| tenant.name)
        } else {
            shape.object.name
        };
        let is_named = !self.names.objects.is_empty() || !self.names.tenants.is_empty();
        let name = start.value(claim).unwrap_or_default();
        let folded = swapped(name);
        if !is_named || folded == name {
            return;
        }
        let mut sample = start.clone();
        if claim == "sub" {
            sample.set_subject(&folded);
        } else {
            sample.set_text(claim, &folded);
        }
        if self
            .names
            .tenants
            .iter()
            .chain(&self.names.objects)
            .any(|known| *known == folded)
        {
            return;
        }
        // A wildcard for the whole name admits any letters, and is reported as what it is.
        let mut unrelated_sample = start.clone();
        if claim == "sub" {
            unrelated_sample.set_subject(NOBODY);
        } else {
            unrelated_sample.set_text(claim, &unrelated(name));
        }
        if !self.admits(&sample) || self.admits(&unrelated_sample) {
            return;
        }
        let finding = Finding::new(
            Code::CaseFoldedSubject,
            &self.admission.place,
            format!(
                "`{}` is admitted as `{}` is.",
                printable(&folded),
                printable(name)
            ),
            "Compare exactly: issuers write a name always in the same way.",
        );
        self.report(finding, &sample);
    }

    /// Looks at wildcards that reach farther than they seem to.
    pub(super) fn wildcards(&mut self, start: &Sample) {
        let wishes = self.admission.wishes.clone();
        for wish in &wishes {
            for glob in wish.globs() {
                let value = start.claims();
                let name = wish.path.last().map_or("", String::as_str);
                let usual = value
                    .get(name)
                    .and_then(Value::as_str)
                    .unwrap_or("x")
                    .to_owned();
                let with = |text: String| {
                    let mut sample = start.clone();
                    if wish.is_about("sub") {
                        sample.set_raw_subject(text);
                    } else {
                        sample.set(&wish.path, &Value::String(text));
                    }
                    sample
                };
                if glob.has_question_mark() {
                    let others = texts(glob, &usual).into_iter();
                    let witness = others.filter(|text| *text != usual).map(with);
                    let witness = witness.into_iter().find(|sample| self.admits(sample));
                    if let Some(witness) = witness {
                        let finding = Finding::new(
                            Code::SingleCharacterWildcard,
                            &self.admission.place,
                            format!(
                                "The `?` in `{}` stands for any character.",
                                printable(&glob.text())
                            ),
                            "Write the character itself; a question mark is `${?}`.",
                        );
                        self.report(finding, &witness);
                    }
                }
                if wish.is_about("sub") && has_inner_star(&glob.text()) {
                    let reaching = ["/x:environment:y", "x:environment:y", "x:y/z"];
                    let mut texts = glob.filled(&reaching);
                    texts.sort_by_key(|text| read_subject(self.admission.preset, text).is_none());
                    let witness = texts.into_iter().map(with);
                    let witness = witness.into_iter().find(|sample| self.admits(sample));
                    if let Some(witness) = witness {
                        let finding = Finding::new(
                            Code::WildcardCrossesDelimiter,
                            &self.admission.place,
                            format!(
                                "The `*` in `{}` stands for any number of parts: an environment may be \
                                 called like the rest of the subject, where `:` in names is not encoded \
                                 (GitHub Enterprise Server up to 3.18).",
                                printable(&glob.text())
                            ),
                            self.narrowest(start),
                        );
                        self.report(finding, &witness);
                    }
                }
            }
        }
    }

    /// Tries claims that name users or groups of the system itself.
    pub(super) fn reserved(&mut self, start: &Sample) {
        for claim in self.admission.gate.reserving_claims() {
            let path = [claim.clone()];
            let texts = Value::String("system:masters".to_owned());
            for value in [Value::Array(vec![texts.clone()]), texts] {
                let mut sample = start.clone();
                if claim == "sub" {
                    sample.set_raw_subject("system:masters".to_owned());
                } else {
                    sample.set(&path, &value);
                }
                if !self.admits(&sample) {
                    continue;
                }
                let Some(name) = self.reserved_name(&sample) else {
                    continue;
                };
                let finding = Finding::new(
                    Code::ReservedNameReachable,
                    &self.admission.place,
                    format!(
                        "Whoever writes the claim `{}` can be `{name}`, which the cluster itself trusts.",
                        printable(&claim)
                    ),
                    "Set a `prefix`, and add the user rule `!user.username.startsWith('system:')` and \
                     `user.groups.all(group, !group.startsWith('system:'))`.",
                );
                self.report(finding, &sample);
                return;
            }
        }
    }

    fn reserved_name(&self, sample: &Sample) -> Option<String> {
        let gate = &self.admission.gate;
        gate.names_reserved(&sample.claims(), &mut self.budget.borrow_mut())
    }

    /// The narrowest condition for what is meant.
    pub(super) fn narrowest(&self, start: &Sample) -> String {
        let value = |claim: &str| printable(start.value(claim).unwrap_or_default());
        let provider = self.admission.issuer.trim_start_matches("https://");
        match (self.admission.preset, self.system) {
            (Some(Preset::GitHub), System::Aws) => format!(
                "Ask with `StringEquals` for `{provider}:repository_id` (`gh api repos/<owner>/<name> --jq \
                 .id`), and for one whole `{provider}:sub`."
            ),
            (Some(Preset::GitHub), System::Gcp) => {
                "Ask for `assertion.repository_id == '<id>' && assertion.environment == '<name>'`; \
                 `gh api repos/<owner>/<name> --jq .id` tells the id."
                    .to_owned()
            }
            (Some(preset), System::Gcp | System::Kubernetes) => {
                let root = if self.system == System::Gcp {
                    "assertion"
                } else {
                    "claims"
                };
                let shape = shape(Some(preset));
                let id = shape.object.id.or(shape.tenant.and_then(|one| one.id));
                match (preset, id) {
                    (Preset::Kubernetes, _) => format!(
                        "Ask for `{root}.sub == 'system:serviceaccount:{}:{}'`.",
                        value("namespace"),
                        value("service_account")
                    ),
                    (_, Some(id)) => format!("Ask for `{root}.{id} == '<id>'`."),
                    (_, None) => format!("Ask for one `{root}.sub`."),
                }
            }
            (_, System::Aws) => {
                format!(
                    "Ask with `StringEquals` for one whole `{}:sub`.",
                    printable(provider)
                )
            }
            (None, _) => "Ask for one subject, or for one group of the issuer.".to_owned(),
        }
    }
}

pub(super) const NOBODY: &str = "zz-nobody";
const OTHER_TENANT: &str = "666";
const OTHER_OBJECT: &str = "667";

pub(super) fn with_other_ids(sample: &mut Sample, shape: &crate::sample::Shape) {
    if let Some(id) = shape.tenant.and_then(|tenant| tenant.id) {
        sample.set_text(id, OTHER_TENANT);
    }
    if let Some(id) = shape.object.id {
        sample.set_text(id, OTHER_OBJECT);
    }
}

/// Another last segment that ends alike.
fn prefixed(name: &str) -> String {
    match name.rsplit_once('/') {
        Some((head, tail)) => format!("{head}/evil-{tail}"),
        None => format!("evil-{name}"),
    }
}

/// Another last segment altogether.
fn unrelated(name: &str) -> String {
    match name.rsplit_once('/') {
        Some((head, _)) => format!("{head}/{NOBODY}"),
        None => NOBODY.to_owned(),
    }
}

fn swapped(name: &str) -> String {
    let letters = name.chars().map(|letter| {
        if letter.is_ascii_lowercase() {
            letter.to_ascii_uppercase()
        } else {
            letter.to_ascii_lowercase()
        }
    });
    letters.collect()
}

/// Whether something follows a `*`.
fn has_inner_star(text: &str) -> bool {
    text.split_once('*')
        .is_some_and(|(_, rest)| !rest.trim_matches('*').is_empty())
}
