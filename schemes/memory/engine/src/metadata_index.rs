//! The metadata of all documents, findable by value: filters become sets of documents without looking at each.
//!
//! Exactness is the point: for every filter the set equals what [`Filter::accepts`] says document by document (property
//! test below).

use core::ops::Bound;
use std::collections::BTreeMap;

use crate::filter::{Filter, is_between};
use crate::id_set::IdSet;
use crate::metadata::{Metadata, Scalar};
use crate::record::DocumentId;

/// The index.
#[derive(Clone, Debug, Default)]
pub struct MetadataIndex {
    documents: BTreeMap<DocumentId, Metadata>,
    values: BTreeMap<String, BTreeMap<Scalar, IdSet>>,
    present: BTreeMap<String, IdSet>,
    all: IdSet,
}

impl MetadataIndex {
    /// Sets the metadata of a document, in place of what it had.
    pub fn set(&mut self, id: DocumentId, metadata: Metadata) {
        self.remove(id);
        self.all.insert(id);
        for key in metadata.keys() {
            self.present.entry(key.to_owned()).or_default().insert(id);
        }
        for (key, value) in metadata.values() {
            let values = self.values.entry(key.to_owned()).or_default();
            values.entry(value.clone()).or_default().insert(id);
        }
        self.documents.insert(id, metadata);
    }

    /// Takes a document out.
    pub fn remove(&mut self, id: DocumentId) {
        let Some(metadata) = self.documents.remove(&id) else {
            return;
        };
        self.all.remove(id);
        for key in metadata.keys() {
            if let Some(set) = self.present.get_mut(key) {
                set.remove(id);
            }
        }
        for (key, value) in metadata.values() {
            let Some(values) = self.values.get_mut(key) else {
                continue;
            };
            let Some(set) = values.get_mut(value) else {
                continue;
            };
            set.remove(id);
            if set.is_empty() {
                values.remove(value);
            }
        }
    }

    /// The metadata of a document.
    pub fn get(&self, id: DocumentId) -> Option<&Metadata> {
        self.documents.get(&id)
    }

    /// The documents that pass.
    pub fn select(&self, filter: &Filter) -> IdSet {
        match filter {
            Filter::In(key, wanted) => {
                let mut set = IdSet::default();
                if let Some(values) = self.values.get(key) {
                    wanted
                        .iter()
                        .filter_map(|value| values.get(value))
                        .for_each(|s| set.unite(s));
                }
                set
            }
            Filter::Range(key, low, high) => self.select_range(key, low, high),
            Filter::Exists(key) => self.present.get(key).cloned().unwrap_or_default(),
            Filter::And(a, b) => {
                let mut set = self.select(a);
                set.intersect(&self.select(b));
                set
            }
            Filter::Or(a, b) => {
                let mut set = self.select(a);
                set.unite(&self.select(b));
                set
            }
            Filter::Not(a) => {
                let mut set = self.all.clone();
                set.subtract(&self.select(a));
                set
            }
        }
    }

    fn select_range(&self, key: &str, low: &Bound<Scalar>, high: &Bound<Scalar>) -> IdSet {
        let mut set = IdSet::default();
        let Some(values) = self.values.get(key) else {
            return set;
        };
        // BTreeMap::range panics on crossed bounds, so it gets only the lower one.
        for (value, ids) in values.range::<Scalar, _>((low.clone(), Bound::Unbounded)) {
            if is_between(value, low, high) {
                set.unite(ids);
            } else if let Bound::Included(x) | Bound::Excluded(x) = high
                && value > x
            {
                break;
            }
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scalar() -> impl Strategy<Value = Scalar> {
        prop_oneof![
            any::<bool>().prop_map(Scalar::Bool),
            (-3i64..4).prop_map(Scalar::Int),
            (-6i32..7).prop_map(|x| Scalar::Float(f64::from(x) / 2.0)),
            prop::sample::select(vec!["", "a", "b", "ab"]).prop_map(|t| Scalar::Text(t.into())),
        ]
    }

    fn key() -> impl Strategy<Value = String> {
        prop::sample::select(vec!["x", "y", "z"]).prop_map(str::to_owned)
    }

    fn metadata() -> impl Strategy<Value = Metadata> {
        prop::collection::vec((key(), prop::collection::vec(scalar(), 0..3)), 0..4).prop_map(
            |pairs| {
                let lines = pairs.iter().map(|(key, values)| {
                    let values: Vec<String> = values.iter().map(Scalar::to_string).collect();
                    match &values[..] {
                        [one] => format!("{key} = {one}\n"),
                        many => format!("{key} = [{}]\n", many.join(",")),
                    }
                });
                Metadata::parse(&lines.collect::<String>()).unwrap()
            },
        )
    }

    fn bound() -> impl Strategy<Value = Bound<Scalar>> {
        prop_oneof![
            Just(Bound::Unbounded),
            scalar().prop_map(Bound::Included),
            scalar().prop_map(Bound::Excluded)
        ]
    }

    fn filter() -> impl Strategy<Value = Filter> {
        let leaf = prop_oneof![
            (key(), prop::collection::vec(scalar(), 0..3)).prop_map(|(k, v)| Filter::In(k, v)),
            (key(), bound(), bound()).prop_map(|(k, a, b)| Filter::Range(k, a, b)),
            key().prop_map(Filter::Exists),
        ];
        leaf.prop_recursive(4, 16, 2, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(a, b)| Filter::And(a.into(), b.into())),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| Filter::Or(a.into(), b.into())),
                inner.prop_map(|a| Filter::Not(a.into())),
            ]
        })
    }

    proptest! {
        #[test]
        fn selection_is_what_the_definition_accepts(
            steps in prop::collection::vec((0u32..90, prop::option::weighted(0.8, metadata())), 1..60),
            filters in prop::collection::vec(filter(), 1..6),
        ) {
            let mut index = MetadataIndex::default();
            let mut naive: BTreeMap<u32, Metadata> = BTreeMap::new();
            for (id, metadata) in steps {
                match metadata {
                    Some(m) => { index.set(id, m.clone()); naive.insert(id, m); }
                    None => { index.remove(id); naive.remove(&id); }
                }
            }
            for filter in filters {
                let expected: Vec<u32> = naive.iter().filter(|(_, m)| filter.accepts(m)).map(|(id, _)| *id).collect();
                prop_assert_eq!(index.select(&filter).iter().collect::<Vec<_>>(), expected);
            }
        }
    }
}
