//! What a node is told at once, in messages that none is longer than readers take.

use avouch_api::grpc::node::{Bundle, Entry, Update};

/// How many entries one message carries.
const ENTRIES_PER_MESSAGE: usize = 1_000;

/// How many bytes of bundles or entries one message carries. Readers take four times as much, so there is
/// room beside them and for one that is longer by itself.
const BYTES_PER_MESSAGE: usize = 4 << 20;

/// The longest revocation lists of one trust domain that a node is told.
const LONGEST_LISTS: usize = 8 << 20;

/// The first message with all bundles and entries, and those that follow for what has no room in it, which
/// are like `empty`.
pub(super) fn in_parts(
    first: Update,
    empty: &Update,
    bundles: Vec<Bundle>,
    entries: Vec<Entry>,
) -> Vec<Update> {
    let mut parts = Parts {
        done: Vec::new(),
        open: first,
        is_free: true,
        left: BYTES_PER_MESSAGE,
        empty,
    };
    for mut bundle in bundles {
        leave_out_long_lists(&mut bundle);
        let length = length_of_bundle(&bundle);
        parts.make_room(length).bundles.push(bundle);
    }
    for entry in entries {
        let length = length_of_entry(&entry);
        parts.make_room(length).entries.push(entry);
    }
    parts.done.push(parts.open);
    let before_last = parts.done.len() - 1;
    for update in parts.done.iter_mut().take(before_last) {
        update.more = true;
    }
    parts.done
}

/// Whether there is one message for all of these.
pub(super) fn fit_one_message(bundles: &[Bundle]) -> bool {
    let bytes: usize = bundles.iter().map(length_of_bundle).sum();
    bytes <= BYTES_PER_MESSAGE
}

struct Parts<'a> {
    done: Vec<Update>,
    open: Update,
    /// Whether neither bundle nor entry is in the open one.
    is_free: bool,
    left: usize,
    empty: &'a Update,
}

impl Parts<'_> {
    /// The message that one more of this length goes into.
    fn make_room(&mut self, length: usize) -> &mut Update {
        let is_full = self.open.entries.len() >= ENTRIES_PER_MESSAGE || length > self.left;
        if is_full && !self.is_free {
            let next = self.empty.clone();
            self.done.push(std::mem::replace(&mut self.open, next));
            self.left = BYTES_PER_MESSAGE;
        }
        self.left = self.left.saturating_sub(length);
        self.is_free = false;
        &mut self.open
    }
}

/// A node that was sent more than it takes would hear no more of any tenant.
fn leave_out_long_lists(bundle: &mut Bundle) {
    let bytes: usize = bundle.revocation_lists.iter().map(Vec::len).sum();
    if bytes > LONGEST_LISTS {
        bundle.revocation_lists.clear();
        tracing::warn!(
            trust_domain = bundle.trust_domain,
            bytes,
            "the revocation lists of a trust domain are too long for its nodes, which get none: replace the \
             authority that signed them in place of its certificates"
        );
    }
}

fn length_of_bundle(bundle: &Bundle) -> usize {
    let lists: usize = bundle.revocation_lists.iter().map(Vec::len).sum();
    bundle.trust_domain.len() + bundle.document.len() + lists
}

/// At least; numbers and lengths are beside it.
fn length_of_entry(entry: &Entry) -> usize {
    let texts = [&entry.selectors, &entry.federates_with, &entry.kinds];
    let texts = texts.into_iter().flatten();
    let texts: usize = texts.map(|text| text.len() + 4).sum();
    entry.id.len() + entry.spiffe_id.len() + entry.hint.len() + texts
}

#[cfg(test)]
mod tests {
    use avouch_api::grpc::node::Distrust;

    use super::*;

    fn bundle(name: usize, length: usize) -> Bundle {
        Bundle {
            trust_domain: format!("{name}.test"),
            document: "x".repeat(length),
            ..Bundle::default()
        }
    }

    fn entry(name: usize, selector: usize) -> Entry {
        Entry {
            id: name.to_string(),
            selectors: vec!["x".repeat(selector)],
            ..Entry::default()
        }
    }

    fn parts(bundles: Vec<Bundle>, entries: Vec<Entry>) -> Vec<Update> {
        let first = Update {
            anew: true,
            distrust: Some(Distrust::default()),
            ..Update::default()
        };
        in_parts(first, &Update::default(), bundles, entries)
    }

    #[test]
    fn no_message_is_longer_than_a_node_takes_whatever_a_tenant_has() {
        let bundles: Vec<Bundle> = (0..20).map(|number| bundle(number, 1 << 20)).collect();
        let entries: Vec<Entry> = (0..500).map(|number| entry(number, 50_000)).collect();
        let told = parts(bundles.clone(), entries.clone());
        for update in &told {
            let of_bundles: usize = update.bundles.iter().map(length_of_bundle).sum();
            let of_entries: usize = update.entries.iter().map(length_of_entry).sum();
            assert!(of_bundles + of_entries <= BYTES_PER_MESSAGE);
        }
        let (last, before) = told.split_last().unwrap();
        assert!(!last.more && before.iter().all(|update| update.more));
        // The first bundles come with what makes a node forget those that it had.
        assert!(told.iter().skip(1).all(|update| update.distrust.is_none()));
        let all = told.iter().flat_map(|update| &update.bundles);
        assert!(all.eq(&bundles));
        let all = told.iter().flat_map(|update| &update.entries);
        assert!(all.eq(&entries));
    }

    #[test]
    fn what_has_room_comes_in_one_message_and_lists_that_have_none_not_at_all() {
        let mut long = bundle(1, 10);
        long.revocation_lists = vec![vec![0; 5 << 20], vec![0; 5 << 20]];
        let mut short = bundle(2, 10);
        short.revocation_lists = vec![vec![0; 1_000]];
        let told = parts(vec![long, short.clone()], vec![entry(1, 10)]);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].bundles, [bundle(1, 10), short]);
        assert_eq!(told[0].entries.len(), 1);
        assert!(!told[0].more);
    }
}
