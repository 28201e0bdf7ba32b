//! An index from names to positions: ordered, without a hash, and flat as it grows.
//!
//! A name is at most eight words of eight bytes. Each word leads one level down, in an ordered map of numbers: comparing
//! numbers is what makes it faster than a map of whole names, most of all where many names begin alike, as they do.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Values;
use alloc::vec;
use alloc::vec::Vec;

use crate::values::Name;

/// The positions of names.
#[derive(Debug, Clone)]
pub(crate) struct Names<T> {
    by_word: BTreeMap<u64, Node<T>>,
}

#[derive(Debug, Clone)]
enum Node<T> {
    /// The name ends with this word.
    End(T),
    /// The names that go on.
    Below(Box<Names<T>>),
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { by_word: BTreeMap::new() }
    }
}

impl<T: Copy> Names<T> {
    pub(crate) fn get(&self, name: &Name) -> Option<T> {
        let mut names = self;
        for word in name.words() {
            match names.by_word.get(&word)? {
                Node::End(found) => return Some(*found),
                Node::Below(below) => names = below,
            }
        }
        None
    }

    /// Inserts a name, or replaces what is there for it.
    pub(crate) fn insert(&mut self, name: &Name, position: T) {
        let mut names = self;
        let mut words = name.words().peekable();
        while let Some(word) = words.next() {
            // A word that the padding has reached ends the name, and so does the last one.
            if word.trailing_zeros() >= u8::BITS || words.peek().is_none() {
                names.by_word.insert(word, Node::End(position));
                return;
            }
            match names.by_word.entry(word).or_insert_with(|| Node::Below(Box::default())) {
                Node::Below(below) => names = below,
                Node::End(_) => {
                    return debug_assert!(false, "no name ends with a full word but at its greatest length");
                }
            }
        }
    }

    /// The positions, in name order.
    pub(crate) fn positions(&self) -> Positions<'_, T> {
        Positions { open: vec![self.by_word.values()] }
    }
}

/// Iterates over the positions in name order.
#[derive(Debug, Clone)]
pub(crate) struct Positions<'n, T> {
    open: Vec<Values<'n, u64, Node<T>>>,
}

impl<T: Copy> Iterator for Positions<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        loop {
            match self.open.last_mut()?.next() {
                Some(Node::End(position)) => return Some(*position),
                Some(Node::Below(below)) => self.open.push(below.by_word.values()),
                None => drop(self.open.pop()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_an_ordered_map() {
        let long = "a".repeat(64);
        let mut texts = vec![
            "a",
            "b",
            "a1",
            "feature_",
            "feature_1",
            "feature_12345678",
            "feature_123456789",
            "feature_0",
            "feature",
            "Z",
            "a.b",
            "a-b",
        ];
        texts.extend([1, 7, 8, 9, 15, 16, 17, 56, 57, 63, 64].map(|len| long.get(..len).unwrap_or_default()));
        let mut names = Names::default();
        let mut expected = BTreeMap::new();
        for (position, text) in texts.iter().enumerate() {
            let name: Name = text.parse().unwrap();
            names.insert(&name, position);
            expected.insert(name, position);
            assert_eq!(names.get(&name), Some(position), "{name}");
            assert!(names.positions().eq(expected.values().copied()), "after {name}");
        }
        for absent in ["aa.", "feature_12", "feature_1234567", "c", "aaaaaaaaa-", &"b".repeat(64)] {
            assert_eq!(names.get(&absent.parse().unwrap()), None, "{absent}");
        }
        assert_eq!(names.positions().count(), expected.len());
        assert_eq!(Names::<u8>::default().positions().next(), None);
    }
}
