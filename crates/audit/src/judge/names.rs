//! Whom a configuration means: the names and ids that stand in it.

use crate::configuration::Admission;
use crate::glob::Glob;
use crate::sample::{Named, read_subject, shape};
use crate::wish::Wish;

/// The names and ids in the conditions of an admission.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// What names of customers begin with, or are.
    pub(super) tenants: Vec<String>,
    /// What names of what is theirs begin with, or are.
    pub(super) objects: Vec<String>,
    /// Whether the customer is named for good.
    pub(super) has_tenant_id: bool,
    /// Whether what is theirs is named for good.
    pub(super) has_object_id: bool,
    /// Whether anything is asked of the subject.
    pub(super) has_subject: bool,
}

impl Names {
    pub(super) fn of(admission: &Admission) -> Self {
        let mut names = Self::default();
        let shape = shape(admission.preset);
        for wish in &admission.wishes {
            names.has_subject |= wish.is_about("sub") && !wish.is_bare();
            for glob in wish.globs() {
                let text = glob.text();
                let claims = match (wish.is_about("sub"), read_subject(admission.preset, &text)) {
                    (true, Some((_, claims))) => claims,
                    (true, None) => vec![("sub".to_owned(), text)],
                    (false, _) => vec![(claim_of(wish), text)],
                };
                for (claim, value) in &claims {
                    names.take(claim, value, shape.tenant, shape.object);
                }
            }
        }
        names
    }

    fn take(&mut self, claim: &str, value: &str, tenant: Option<Named>, object: Named) {
        let glob = Glob::parse(value);
        let head = glob.literal_head();
        if let Some(tenant) = tenant {
            if claim == tenant.name && !head.is_empty() {
                self.tenants.push(head.clone());
            }
            self.has_tenant_id |= tenant.id == Some(claim) && glob.is_literal();
        }
        if claim == object.name {
            match (head.split_once('/'), tenant) {
                // The name of the customer stands before it.
                (Some((owner, name)), Some(_)) if object.name != "sub" => {
                    self.tenants.push(owner.to_owned());
                    if !name.is_empty() {
                        self.objects.push(head);
                    }
                }
                (None, Some(_)) if has_owner(object) => {
                    if !head.is_empty() {
                        self.tenants.push(head);
                    }
                }
                _ => {
                    if !head.is_empty() {
                        self.objects.push(head);
                    }
                }
            }
        }
        self.has_object_id |= object.id == Some(claim) && glob.is_literal();
    }
}

fn has_owner(object: Named) -> bool {
    matches!(object.name, "repository" | "project_path")
}

/// The claim that a wish is about, by the name that a sample has for it.
fn claim_of(wish: &Wish) -> String {
    let path: Vec<&str> = wish.path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["kubernetes.io", "namespace"] => "namespace".to_owned(),
        ["kubernetes.io", "serviceaccount", "name"] => "service_account".to_owned(),
        ["kubernetes.io", "serviceaccount", "uid"] => "service_account_uid".to_owned(),
        path => path.join("."),
    }
}
