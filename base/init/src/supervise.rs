//! What becomes of a service that ends: the restart rule, without clock or processes of its own.
//!
//! A service that must run is started again after a pause that doubles with every failure in a row. One that
//! ran for a while has recovered and starts from the shortest pause. After too many failures in a row it is
//! given up and stays so, which is one line in the log instead of a machine busy with restarting.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::limits::{BACK_OFF_FIRST, BACK_OFF_MAX, FAILURES_MAX, STABLE_AFTER};
use crate::status::Ending;
use crate::unit::{Restart, Unit};

/// Time since init started.
pub type Moment = Duration;

/// A process id.
pub type Pid = usize;

/// One service that is, or should be, running.
#[derive(Debug)]
struct Watched {
    unit: Unit,
    restart: Restart,
    failures: u32,
    state: State,
}

#[derive(Debug, PartialEq)]
enum State {
    Running { pid: Pid, since: Moment },
    RestartAt(Moment),
    Ended,
}

/// What init should say or do about a child that ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not one of the services: an orphan that was handed to init.
    Orphan,
    /// It ended and stays ended.
    Ended(String),
    /// It ended and will be started again at the time that [`Supervisor::next_restart`] tells.
    Restart(String),
    /// It failed too often.
    GivenUp(String),
}

/// All services that were started.
#[derive(Debug, Default)]
pub struct Supervisor {
    watched: BTreeMap<String, Watched>,
}

impl Supervisor {
    /// A service runs as process `pid`.
    pub fn started(&mut self, unit: &Unit, restart: Restart, pid: Pid, now: Moment) {
        let failures = self.watched.get(&unit.name).map_or(0, |old| old.failures);
        let state = State::Running { pid, since: now };
        let watched = Watched {
            unit: unit.clone(),
            restart,
            failures,
            state,
        };
        self.watched.insert(unit.name.clone(), watched);
    }

    /// A service could not even be started; it is treated like one that ended at once.
    pub fn not_started(&mut self, unit: &Unit, restart: Restart, now: Moment) -> Verdict {
        self.started(unit, restart, Pid::MAX, now);
        self.ended(Pid::MAX, "could not be started", now)
    }

    /// A child ended.
    pub fn exited(&mut self, pid: Pid, ending: Ending, now: Moment) -> Verdict {
        self.ended(pid, &ending.to_string(), now)
    }

    fn ended(&mut self, pid: Pid, how: &str, now: Moment) -> Verdict {
        let found = self
            .watched
            .values_mut()
            .find_map(|watched| match watched.state {
                State::Running { pid: own, since } if own == pid => Some((watched, since)),
                _ => None,
            });
        let Some((watched, since)) = found else {
            return Verdict::Orphan;
        };
        let name = &watched.unit.name;
        if watched.restart == Restart::Never {
            watched.state = State::Ended;
            return Verdict::Ended(format!("{name} {how}"));
        }
        if now.saturating_sub(since) >= STABLE_AFTER {
            watched.failures = 0;
        }
        watched.failures += 1;
        if watched.failures >= FAILURES_MAX {
            watched.state = State::Ended;
            let count = watched.failures;
            return Verdict::GivenUp(format!("{name} {how}; given up after {count} failures"));
        }
        let pause = back_off(watched.failures);
        watched.state = State::RestartAt(now + pause);
        let ms = pause.as_millis();
        Verdict::Restart(format!("{name} {how}; starting it again in {ms} ms"))
    }

    /// When the next restart is due.
    pub fn next_restart(&self) -> Option<Moment> {
        self.watched.values().filter_map(due).min()
    }

    /// Takes the services whose restart is due.
    pub fn take_due(&mut self, now: Moment) -> Vec<Unit> {
        let ready = self
            .watched
            .values_mut()
            .filter(|w| due(w).is_some_and(|at| at <= now));
        ready
            .map(|watched| {
                watched.state = State::Ended;
                watched.unit.clone()
            })
            .collect()
    }
}

fn due(watched: &Watched) -> Option<Moment> {
    match watched.state {
        State::RestartAt(at) => Some(at),
        _ => None,
    }
}

/// The pause before restart number `failures`.
fn back_off(failures: u32) -> Duration {
    let doubled = 1u32
        .checked_shl(failures.saturating_sub(1))
        .unwrap_or(u32::MAX);
    BACK_OFF_FIRST.saturating_mul(doubled).min(BACK_OFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::parse;

    const ONE: Duration = Duration::from_secs(1);

    fn unit(name: &str) -> Unit {
        parse(name, "[service]\ncmd = \"d\"\ntype = \"notify\"").unwrap()
    }

    #[test]
    fn a_daemon_that_dies_is_started_again_after_a_pause() {
        let mut supervisor = Supervisor::default();
        supervisor.started(&unit("d.service"), Restart::Always, 7, ONE);
        let verdict = supervisor.exited(7, Ending::Killed(11), 2 * ONE);
        assert!(matches!(verdict, Verdict::Restart(line) if line.contains("signal 11")));
        let at = supervisor.next_restart().unwrap();
        assert_eq!(at, 2 * ONE + BACK_OFF_FIRST);
        assert!(
            supervisor
                .take_due(at - Duration::from_millis(1))
                .is_empty()
        );
        assert_eq!(supervisor.take_due(at)[0].name, "d.service");
        assert_eq!(supervisor.next_restart(), None);
    }

    #[test]
    fn failures_in_a_row_end_in_giving_up() {
        let mut supervisor = Supervisor::default();
        let mut now = ONE;
        let mut pauses = Vec::new();
        for pid in 1.. {
            supervisor.started(&unit("d.service"), Restart::Always, pid, now);
            match supervisor.exited(pid, Ending::Exited(1), now) {
                Verdict::Restart(_) => {
                    let at = supervisor.next_restart().unwrap();
                    pauses.push(at - now);
                    now = at;
                    supervisor.take_due(now);
                }
                Verdict::GivenUp(line) => {
                    assert!(line.contains("given up after 6 failures"), "{line}");
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(pauses.len(), 5);
        assert!(pauses.is_sorted());
        assert_eq!(supervisor.next_restart(), None);
    }

    #[test]
    fn a_daemon_that_ran_long_enough_has_recovered() {
        let mut supervisor = Supervisor::default();
        for pid in 1..100 {
            supervisor.started(&unit("d.service"), Restart::Always, pid, ONE);
            let verdict = supervisor.exited(pid, Ending::Exited(1), ONE + STABLE_AFTER);
            assert!(matches!(verdict, Verdict::Restart(_)));
            assert_eq!(
                supervisor.next_restart().unwrap(),
                ONE + STABLE_AFTER + BACK_OFF_FIRST
            );
            supervisor.take_due(Duration::MAX);
        }
    }

    #[test]
    fn orphans_and_finished_jobs_are_told_apart() {
        let mut supervisor = Supervisor::default();
        supervisor.started(&unit("job.service"), Restart::Never, 5, ONE);
        assert_eq!(
            supervisor.exited(99, Ending::Exited(0), ONE),
            Verdict::Orphan
        );
        assert!(matches!(
            supervisor.exited(5, Ending::Exited(0), ONE),
            Verdict::Ended(_)
        ));
        assert_eq!(
            supervisor.exited(5, Ending::Exited(0), ONE),
            Verdict::Orphan
        );
    }

    #[test]
    fn a_service_that_cannot_start_counts_as_failed() {
        let mut supervisor = Supervisor::default();
        let verdict = supervisor.not_started(&unit("d.service"), Restart::Always, ONE);
        assert!(matches!(verdict, Verdict::Restart(_)));
    }
}
