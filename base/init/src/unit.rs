//! Unit files: what can be started, and how.
//!
//! `NAME.service` and `NAME.target` are TOML; a name without extension is a legacy script (module `script`);
//! `NAME@.service` is a template that `NAME@X.service` instantiates with `$INSTANCE` = `X`. Unknown keys are
//! errors, so that a misspelt one is noticed. `restart` is this system's own addition to the format.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::script::{self, Command};

/// A unit as read from its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// File name, which is also its place in the order.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Units that are started before this one if they exist.
    pub requires: Vec<String>,
    /// Whether the unit belongs to this machine.
    pub applies: bool,
    /// What starting it means.
    pub action: Action,
}

/// What starting a unit means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing of its own: it only requires others.
    Target,
    /// Start one program.
    Service(Service),
    /// Run the lines of a legacy script.
    Script(Vec<Command>),
}

/// A program and how it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Program, looked up in `PATH` when it has no slash.
    pub program: String,
    /// Arguments; `$NAME` is replaced.
    pub args: Vec<String>,
    /// Variables set for it.
    pub envs: BTreeMap<String, String>,
    /// Variables of init's that it gets too.
    pub inherit_envs: Vec<String>,
    /// When it counts as started.
    pub readiness: Readiness,
    /// What happens when it ends.
    pub restart: Restart,
}

/// When a service counts as started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// When it writes a byte to the pipe in `INIT_NOTIFY`.
    Notify,
    /// When it sends the root of this scheme over that pipe; init registers the name. A byte counts too,
    /// for daemons that register themselves.
    Scheme(String),
    /// When it has exited with status 0.
    OneShot,
    /// At once.
    OneShotAsync,
}

/// What happens when a service ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Restart {
    /// Start it again whatever its status was.
    Always,
    /// Leave it.
    Never,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnitFile {
    #[serde(default)]
    unit: UnitSection,
    service: Option<ServiceSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct UnitSection {
    description: String,
    default_dependencies: bool,
    requires_weak: Vec<String>,
    condition_architecture: Option<Vec<String>>,
    condition_board: Option<Vec<String>>,
}

impl Default for UnitSection {
    fn default() -> Self {
        UnitSection {
            description: String::new(),
            default_dependencies: true,
            requires_weak: Vec::new(),
            condition_architecture: None,
            condition_board: None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceSection {
    cmd: String,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    envs: BTreeMap<String, String>,
    #[serde(default)]
    inherit_envs: Vec<String>,
    #[serde(rename = "type")]
    kind: Kind,
    restart: Option<Restart>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Notify,
    Scheme(String),
    Oneshot,
    OneshotAsync,
}

/// The target that every unit with default dependencies comes after.
pub const RUNTIME_TARGET: &str = "00_runtime.target";

/// The kinds of machine that `condition_*` lists are compared with.
const ARCHITECTURE: &str = "x86_64";

/// Reads a unit; the error says what is wrong with the file.
pub fn parse(name: &str, text: &str) -> Result<Unit, String> {
    match name.rsplit_once('.') {
        Some((_, "service")) => parse_toml(name, text, true),
        Some((_, "target")) => parse_toml(name, text, false),
        Some((_, other)) => Err(format!("unknown kind of unit \".{other}\"")),
        None => {
            let (requires, commands) = script::parse(text)?;
            Ok(Unit {
                name: name.to_owned(),
                description: String::new(),
                requires,
                applies: true,
                action: Action::Script(commands),
            })
        }
    }
}

fn parse_toml(name: &str, text: &str, is_service: bool) -> Result<Unit, String> {
    let file: UnitFile = toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())?;
    let action = match (file.service, is_service) {
        (Some(section), true) => Action::Service(section.into()),
        (None, false) => Action::Target,
        (None, true) => return Err("a service needs a [service] section".into()),
        (Some(_), false) => return Err("a target has no [service] section".into()),
    };
    let mut requires = file.unit.requires_weak;
    if is_service && file.unit.default_dependencies {
        requires.push(RUNTIME_TARGET.to_owned());
    }
    let listed = |list: Option<Vec<String>>| {
        list.is_none_or(|names| names.iter().any(|name| name == ARCHITECTURE))
    };
    Ok(Unit {
        name: name.to_owned(),
        description: file.unit.description,
        requires,
        // No board has a name on this architecture, so a list of boards never matches.
        applies: listed(file.unit.condition_architecture) && file.unit.condition_board.is_none(),
        action,
    })
}

impl From<ServiceSection> for Service {
    fn from(section: ServiceSection) -> Self {
        let readiness = match section.kind {
            Kind::Notify => Readiness::Notify,
            Kind::Scheme(name) => Readiness::Scheme(name),
            Kind::Oneshot => Readiness::OneShot,
            Kind::OneshotAsync => Readiness::OneShotAsync,
        };
        let daemon = matches!(readiness, Readiness::Notify | Readiness::Scheme(_));
        let default = if daemon {
            Restart::Always
        } else {
            Restart::Never
        };
        Service {
            program: section.cmd,
            args: section.args,
            envs: section.envs,
            inherit_envs: section.inherit_envs,
            readiness,
            restart: section.restart.unwrap_or(default),
        }
    }
}

/// The template's file name and the instance of `NAME@X.service`; none for other names.
pub fn template_of(name: &str) -> Option<(String, &str)> {
    let (stem, extension) = name.rsplit_once('.')?;
    let (base, instance) = stem.split_once('@')?;
    (!instance.is_empty()).then(|| (format!("{base}@.{extension}"), instance))
}

/// The unit that a template makes for one instance.
pub fn instantiate(template: &Unit, name: &str, instance: &str) -> Unit {
    let mut unit = Unit {
        name: name.to_owned(),
        ..template.clone()
    };
    if let Action::Service(service) = &mut unit.action {
        service.envs.insert("INSTANCE".into(), instance.to_owned());
    }
    unit
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"
        [unit]
        description = "Random numbers"
        requires_weak = ["00_logd.service"]
        [service]
        cmd = "randd"
        args = ["--verbose", "$LEVEL"]
        envs = { A = "1" }
        inherit_envs = ["TZ"]
        type = "notify"
    "#;

    fn service(text: &str) -> Service {
        match parse("x.service", text).unwrap().action {
            Action::Service(service) => service,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_service_file_is_read_whole() {
        let unit = parse("10_randd.service", EXAMPLE).unwrap();
        assert_eq!(unit.requires, ["00_logd.service", RUNTIME_TARGET]);
        assert!(unit.applies);
        let service = service(EXAMPLE);
        assert_eq!(service.args, ["--verbose", "$LEVEL"]);
        assert_eq!(service.envs["A"], "1");
        assert_eq!(service.restart, Restart::Always);
    }

    #[test]
    fn every_type_is_understood() {
        let of = |kind: &str| service(&format!("[service]\ncmd = \"a\"\ntype = {kind}")).readiness;
        assert_eq!(of("\"notify\""), Readiness::Notify);
        assert_eq!(
            of("{ scheme = \"null\" }"),
            Readiness::Scheme("null".into())
        );
        assert_eq!(of("\"oneshot\""), Readiness::OneShot);
        assert_eq!(of("\"oneshot_async\""), Readiness::OneShotAsync);
    }

    #[test]
    fn programs_that_are_meant_to_end_are_not_restarted() {
        let once = service("[service]\ncmd = \"a\"\ntype = \"oneshot\"");
        assert_eq!(once.restart, Restart::Never);
        let asked = service("[service]\ncmd = \"a\"\ntype = \"oneshot\"\nrestart = \"always\"");
        assert_eq!(asked.restart, Restart::Always);
    }

    #[test]
    fn a_misspelt_key_and_a_missing_section_are_errors() {
        assert!(
            parse(
                "x.service",
                "[service]\ncmd = \"a\"\ntype = \"notify\"\narg = []"
            )
            .is_err()
        );
        assert!(parse("x.service", "[unit]\ndescription = \"no program\"").is_err());
        assert!(parse("x.target", EXAMPLE).is_err());
        assert!(parse("x.mount", "").is_err());
        assert!(parse("x.service", "not toml at all [").is_err());
    }

    #[test]
    fn conditions_leave_out_units_of_other_machines() {
        let with = |line: &str| {
            parse("x.target", &format!("[unit]\n{line}"))
                .unwrap()
                .applies
        };
        assert!(with("condition_architecture = [\"aarch64\", \"x86_64\"]"));
        assert!(!with("condition_architecture = [\"aarch64\"]"));
        assert!(!with("condition_board = [\"raspi3b\"]"));
    }

    #[test]
    fn a_template_gives_its_instance_as_a_variable() {
        let (template, instance) = template_of("getty@tty2.service").unwrap();
        assert_eq!((template.as_str(), instance), ("getty@.service", "tty2"));
        assert_eq!(template_of("getty@.service"), None);
        assert_eq!(template_of("getty.service"), None);
        let parsed = parse("getty@.service", EXAMPLE).unwrap();
        let unit = instantiate(&parsed, "getty@tty2.service", instance);
        let Action::Service(service) = unit.action else {
            panic!()
        };
        assert_eq!(service.envs["INSTANCE"], "tty2");
    }

    #[test]
    fn every_unit_of_the_system_is_valid() {
        for folder in ["units/initfs", "units/root"] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            for entry in std::fs::read_dir(path).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                parse(name, &std::fs::read_to_string(&path).unwrap())
                    .unwrap_or_else(|error| panic!("{folder}/{name}: {error}"));
            }
        }
    }
}
