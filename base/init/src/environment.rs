//! Environment variables: of the boot, of `environment.d`, and of one service.

use std::collections::BTreeMap;

use crate::script::setting;
use crate::unit::Service;

/// Variables by name.
pub type Variables = BTreeMap<String, String>;

/// Reads `KEY=VALUE` lines; comments, empty lines and lines that are neither are passed over.
pub fn parse_lines(text: &str) -> impl Iterator<Item = (String, String)> {
    text.lines().filter_map(|line| {
        let line = line.trim();
        if line.starts_with('#') {
            return None;
        }
        let (name, value) = setting(line)?;
        let value = value.trim();
        let quoted = value
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        Some((name.to_owned(), quoted.unwrap_or(value).to_owned()))
    })
}

/// `text` with every `$NAME` replaced; an unset name becomes nothing, and `$` before anything else stays.
pub fn expand(text: &str, variables: &Variables) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let len = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        if len == 0 {
            result.push('$');
            continue;
        }
        result.push_str(variables.get(&rest[..len]).map_or("", String::as_str));
        rest = &rest[len..];
    }
    result.push_str(rest);
    result
}

/// The arguments with variables replaced; one that is a single `$NAME` and empty disappears.
pub fn expand_args(args: &[String], variables: &Variables) -> Vec<String> {
    args.iter()
        .map(|arg| (arg, expand(arg, variables)))
        .filter(|(arg, value)| !(arg.starts_with('$') && value.is_empty()))
        .map(|(_, value)| value)
        .collect()
}

/// What one service gets: `PATH`, what it inherits by name, and its own settings; nothing else.
pub fn for_service(service: &Service, variables: &Variables) -> Variables {
    let mut result = Variables::new();
    let inherited = service
        .inherit_envs
        .iter()
        .map(String::as_str)
        .chain(["PATH"]);
    for name in inherited {
        if let Some(value) = variables.get(name) {
            result.insert(name.to_owned(), value.clone());
        }
    }
    for (name, value) in &service.envs {
        result.insert(name.clone(), expand(value, variables));
    }
    result
}

/// The variables a service's arguments may name: init's own and the service's.
pub fn for_arguments(service: &Service, variables: &Variables) -> Variables {
    let mut result = variables.clone();
    result.extend(for_service(service, variables));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn lines_that_are_no_setting_are_passed_over() {
        let read: Vec<_> = parse_lines("A=1\n# B=2\n\nnonsense\nC=\"x y\"\nD=a=b").collect();
        let expected = [("A", "1"), ("C", "x y"), ("D", "a=b")];
        assert_eq!(read, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn names_end_at_the_first_other_character() {
        let variables = variables(&[("UUID", "12"), ("A", "x")]);
        assert_eq!(expand("--id=$UUID/$A.$B", &variables), "--id=12/x.");
        assert_eq!(expand("5$ or $$A", &variables), "5$ or $x");
    }

    #[test]
    fn an_argument_that_is_an_unset_variable_disappears() {
        let args = ["--uuid", "$UUID", "file", "$BLOCK"].map(str::to_owned);
        assert_eq!(
            expand_args(&args, &variables(&[("UUID", "12")])),
            ["--uuid", "12", "file"]
        );
    }

    #[test]
    fn a_service_gets_only_what_is_listed() {
        let all = variables(&[("PATH", "/usr/bin"), ("TZ", "UTC"), ("SECRET", "s")]);
        let service = Service {
            program: "a".into(),
            args: Vec::new(),
            envs: variables(&[("ZONE", "$TZ")]).into_iter().collect(),
            inherit_envs: vec!["MISSING".into()],
            readiness: crate::unit::Readiness::Notify,
            restart: crate::unit::Restart::Always,
        };
        assert_eq!(
            for_service(&service, &all),
            variables(&[("PATH", "/usr/bin"), ("ZONE", "UTC")])
        );
    }
}
