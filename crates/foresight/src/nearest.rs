//! The known name that is most like a given one: for messages about names that do not exist.

/// The candidate with the fewest edits from `name`, if that is few enough to be a slip: at most a third of the longer
/// one, and two at least. Of equals the first.
pub fn nearest<'n>(name: &str, candidates: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let of = |candidate: &'n str| {
        let most = name.len().max(candidate.len()).div_euclid(3).max(2);
        // A length that differs by more cannot be within that many edits.
        let is_close = name.len().abs_diff(candidate.len()) <= most;
        is_close.then(|| (edits(name, candidate), candidate)).filter(|(edits, _)| *edits <= most)
    };
    candidates.into_iter().filter_map(of).min_by_key(|(edits, _)| *edits).map(|(_, candidate)| candidate)
}

/// The edit distance in bytes, in which case does not count: insertions, deletions and changes of one byte.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i.saturating_add(1);
        let mut next = vec![left];
        for (y, above) in b.bytes().zip(row.iter().skip(1).copied()) {
            let change = diagonal.saturating_add(usize::from(!x.eq_ignore_ascii_case(&y)));
            left = change.min(above.saturating_add(1)).min(left.saturating_add(1));
            diagonal = above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_another_name_finds_none() {
        let names = ["search_v3", "search_v2", "checkout", "a"];
        for (name, found) in [
            ("search_v3", Some("search_v3")),
            ("serach_v3", Some("search_v3")),
            ("Search_v2", Some("search_v2")),
            ("search", Some("search_v3")),
            ("chekout", Some("checkout")),
            ("payments", None),
            ("", Some("a")),
        ] {
            assert_eq!(nearest(name, names), found, "{name}");
        }
        assert_eq!(edits("kitten", "sitting"), 3);
    }
}
