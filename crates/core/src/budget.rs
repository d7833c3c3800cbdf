//! How much work one decision may cost. Running out is a refusal of its own (`limit.*`), never a
//! hang: whoever shows a credential chooses how hard it is to check, so the limit must be ours.

use crate::reason::Reason;
use crate::stop::Stop;

/// What may be spent on one decision. Each number says where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the certificates that the holder brings, together. Real chains stay under 20 KiB;
    /// the largest in public suites that must be accepted are under 200 KiB. Reading so many takes
    /// 25 ms where they are made to be slow to read.
    pub input_bytes: usize,
    /// Bytes of one compact token: header limits of common HTTP servers are 8 to 16 KiB.
    pub token_bytes: usize,
    /// Levels of nesting in JSON; real tokens have 4.
    pub json_depth: usize,
    /// Members and elements in one JSON text; a GitHub token has 40, an Entra token with all its
    /// groups 200.
    pub json_members: usize,
    /// Certificates brought by the holder. x509-limbo brings 100 in its hardest cases.
    pub certificates: usize,
    /// Intermediates between end entity and anchor, self-issued ones not counted. The longest
    /// valid path in public suites has 5.
    pub path_length: u32,
    /// Steps of the search: candidates looked at, over all paths.
    pub search_steps: u32,
    /// Microseconds of signature checks at nominal speed (see `crypto::cost`); 100 P-256
    /// signatures, the limit of rustls-webpki, are 4,300.
    pub signature_work: u32,
    /// Comparisons of a name with a name constraint; the limit of rustls-webpki.
    pub name_comparisons: u32,
    /// Nodes of the policy graph over the whole path (RFC 9618 bounds it by path length times
    /// policies).
    pub policy_nodes: u32,
    /// Refused paths that are kept with their reasons; the rest are counted.
    pub attempts_kept: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            input_bytes: 2 << 20,
            token_bytes: 16 << 10,
            json_depth: 16,
            json_members: 2_000,
            certificates: 4_000,
            path_length: 16,
            search_steps: 20_000,
            signature_work: 20_000,
            name_comparisons: 250_000,
            policy_nodes: 4_000,
            attempts_kept: 32,
        }
    }
}

/// What one decision has cost so far, in the units of [`Limits`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Steps of the search.
    pub search_steps: u32,
    /// Microseconds of signature checks at nominal speed.
    pub signature_work: u32,
    /// Comparisons of a name with a name constraint.
    pub name_comparisons: u32,
    /// Nodes of the policy graph.
    pub policy_nodes: u32,
}

/// Bytes of a certificate that are read in a step of the search.
const BYTES_IN_A_STEP: usize = 256;

/// What is left for one decision.
#[derive(Clone, Debug)]
pub struct Budget {
    limits: Limits,
    search_steps: u32,
    signature_work: u32,
    name_comparisons: u32,
    policy_nodes: u32,
}

impl Budget {
    /// A fresh budget.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            search_steps: limits.search_steps,
            signature_work: limits.signature_work,
            name_comparisons: limits.name_comparisons,
            policy_nodes: limits.policy_nodes,
        }
    }

    /// The limits it started from.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What was spent so far.
    pub fn spent(&self) -> Spent {
        Spent {
            search_steps: self.limits.search_steps - self.search_steps,
            signature_work: self.limits.signature_work - self.signature_work,
            name_comparisons: self.limits.name_comparisons - self.name_comparisons,
            policy_nodes: self.limits.policy_nodes - self.policy_nodes,
        }
    }

    /// Pays for one step of the search.
    pub(crate) fn step(&mut self) -> Result<(), Stop> {
        let allowed = self.limits.search_steps;
        pay(&mut self.search_steps, 1).ok_or(Stop::Exhausted(Reason::SearchSteps { allowed }))
    }

    /// Pays for what a step costs beyond others because the certificate it starts from is long: its
    /// names are compared and, where the path ends, told. Those of ordinary length cost nothing.
    pub(crate) fn long_step(&mut self, bytes: usize) -> Result<(), Stop> {
        const ORDINARY: usize = 4_096;
        let allowed = self.limits.search_steps;
        let steps = bytes.saturating_sub(ORDINARY) / BYTES_IN_A_STEP;
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        pay(&mut self.search_steps, steps).ok_or(Stop::Exhausted(Reason::SearchSteps { allowed }))
    }

    /// Pays for looking at a whole path, whose certificates have so many bytes together. It costs
    /// as much as many steps, and more when they are long: each is read from end to end.
    pub(crate) fn whole_path(&mut self, bytes: usize) -> Result<(), Stop> {
        const STEPS: u32 = 16;
        let allowed = self.limits.search_steps;
        let steps = u32::try_from(bytes / BYTES_IN_A_STEP).unwrap_or(u32::MAX);
        pay(&mut self.search_steps, steps.saturating_add(STEPS))
            .ok_or(Stop::Exhausted(Reason::SearchSteps { allowed }))
    }

    /// Pays for comparing values of metadata with those that policies name. Thirty-two cost as much
    /// as a step, and each thing that is asked costs one.
    pub(crate) fn value_comparisons(&mut self, count: usize) -> Result<(), Stop> {
        const IN_A_STEP: usize = 32;
        let allowed = self.limits.search_steps;
        let steps = u32::try_from(1 + count / IN_A_STEP).unwrap_or(u32::MAX);
        pay(&mut self.search_steps, steps).ok_or(Stop::Exhausted(Reason::SearchSteps { allowed }))
    }

    /// Pays for one signature check of so many nominal microseconds.
    pub(crate) fn signature(&mut self, microseconds: u32) -> Result<(), Stop> {
        let allowed = self.limits.signature_work;
        pay(&mut self.signature_work, microseconds)
            .ok_or(Stop::Exhausted(Reason::SignatureWork { allowed }))
    }

    /// Pays for comparing names with name constraints.
    pub(crate) fn name_comparisons(&mut self, count: usize) -> Result<(), Stop> {
        let allowed = self.limits.name_comparisons;
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        pay(&mut self.name_comparisons, count)
            .ok_or(Stop::Exhausted(Reason::NameComparisons { allowed }))
    }

    /// Pays for nodes of the policy graph.
    pub(crate) fn policy_nodes(&mut self, count: usize) -> Result<(), Stop> {
        let allowed = self.limits.policy_nodes;
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        pay(&mut self.policy_nodes, count).ok_or(Stop::Exhausted(Reason::PolicyNodes { allowed }))
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

/// Takes `amount` from `purse`; `None`, and an empty purse, when there is not enough.
fn pay(purse: &mut u32, amount: u32) -> Option<()> {
    let left = purse.checked_sub(amount);
    *purse = left.unwrap_or(0);
    left.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_is_a_refusal_and_stays_one() {
        let mut budget = Budget::new(Limits {
            signature_work: 100,
            ..Limits::default()
        });
        assert_eq!(budget.signature(60), Ok(()));
        assert_eq!(
            budget.signature(60),
            Err(Stop::Exhausted(Reason::SignatureWork { allowed: 100 }))
        );
        assert_eq!(
            budget.signature(1),
            Err(Stop::Exhausted(Reason::SignatureWork { allowed: 100 }))
        );
    }
}
