//! The order in which units start.
//!
//! Units start in the order of their names, each after the ones it requires. A requirement that does not
//! exist is passed over (they are "weak"); a circle is cut where it closes, with a note. Nothing here fails:
//! the machine must come up as far as it can.

use std::collections::BTreeMap;

use crate::limits::REQUIRES_DEPTH_MAX;
use crate::unit::{Unit, instantiate, template_of};

/// The units of one phase, by name.
pub type Units = BTreeMap<String, Unit>;

/// What to start, in order, and what was odd.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Units in the order to start them.
    pub order: Vec<Unit>,
    /// Lines for the log.
    pub notes: Vec<String>,
}

/// Orders all units except templates, those for other machines, those in `skip` and those already started.
pub fn plan(units: &Units, skip: &[String], started: &[String]) -> Plan {
    let mut walk = Walk {
        units,
        skip,
        started,
        marks: BTreeMap::new(),
        plan: Plan::default(),
    };
    for name in units.keys() {
        if !is_template(name) {
            walk.visit(name, 0);
        }
    }
    walk.plan
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Open,
    Done,
}

struct Walk<'u> {
    units: &'u Units,
    skip: &'u [String],
    started: &'u [String],
    marks: BTreeMap<String, Mark>,
    plan: Plan,
}

impl Walk<'_> {
    fn visit(&mut self, name: &str, depth: usize) {
        match self.marks.get(name) {
            Some(Mark::Done) => return,
            Some(Mark::Open) => {
                self.plan
                    .notes
                    .push(format!("{name}: requires itself through others"));
                return;
            }
            None => {}
        }
        if depth > REQUIRES_DEPTH_MAX {
            self.plan.notes.push(format!("{name}: required too deep"));
            return;
        }
        let Some(unit) = self.find(name) else { return };
        self.marks.insert(name.to_owned(), Mark::Open);
        if unit.applies && !self.skip.iter().any(|skipped| skipped == name) {
            for required in &unit.requires {
                self.visit(required, depth + 1);
            }
            if !self.started.iter().any(|done| done == name) {
                self.plan.order.push(unit);
            }
        }
        self.marks.insert(name.to_owned(), Mark::Done);
    }

    fn find(&self, name: &str) -> Option<Unit> {
        if let Some(unit) = self.units.get(name) {
            return Some(unit.clone());
        }
        let (template, instance) = template_of(name)?;
        self.units
            .get(&template)
            .map(|unit| instantiate(unit, name, instance))
    }
}

fn is_template(name: &str) -> bool {
    name.rsplit_once('.')
        .is_some_and(|(stem, _)| stem.ends_with('@'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::parse;

    fn units(files: &[(&str, &str)]) -> Units {
        files
            .iter()
            .map(|(n, t)| ((*n).to_owned(), parse(n, t).unwrap()))
            .collect()
    }

    fn names(plan: &Plan) -> Vec<&str> {
        plan.order.iter().map(|unit| unit.name.as_str()).collect()
    }

    fn after(names: &str) -> String {
        format!("[unit]\nrequires_weak = [{names}]\n")
    }

    #[test]
    fn names_give_the_order_and_requirements_come_first() {
        let units = units(&[
            (
                "10_a.target",
                &after("\"90_z.target\", \"77_missing.target\""),
            ),
            ("20_b.target", ""),
            ("90_z.target", ""),
            ("00_s", "true"),
        ]);
        let plan = plan(&units, &[], &[]);
        assert_eq!(
            names(&plan),
            ["00_s", "90_z.target", "10_a.target", "20_b.target"]
        );
        assert!(plan.notes.is_empty());
    }

    #[test]
    fn a_circle_is_cut_and_noted() {
        let units = units(&[
            ("a.target", &after("\"b.target\"")),
            ("b.target", &after("\"a.target\"")),
        ]);
        let plan = plan(&units, &[], &[]);
        assert_eq!(names(&plan), ["b.target", "a.target"]);
        assert_eq!(plan.notes.len(), 1);
    }

    #[test]
    fn skipped_foreign_and_started_units_are_left_out() {
        let units = units(&[
            ("a.target", ""),
            ("b.target", ""),
            ("c.target", "[unit]\ncondition_architecture = [\"other\"]"),
            ("d.target", ""),
        ]);
        let plan = plan(&units, &["a.target".into()], &["b.target".into()]);
        assert_eq!(names(&plan), ["d.target"]);
    }

    #[test]
    fn a_template_starts_only_as_an_instance() {
        let units = units(&[
            (
                "getty@.service",
                "[service]\ncmd = \"getty\"\ntype = \"notify\"",
            ),
            (
                "30_console.target",
                &after("\"getty@1.service\", \"getty@2.service\""),
            ),
        ]);
        let plan = plan(&units, &[], &[]);
        assert_eq!(
            names(&plan),
            ["getty@1.service", "getty@2.service", "30_console.target"]
        );
    }
}
