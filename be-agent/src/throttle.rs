//! What an agent keeps to: limits on its traffic, the window of its requests, and how many cores it keeps busy.
//!
//! # Overview
//! A [`Throttle`] goes with a [`StorageOpener`]: every storage that is opened keeps to it, whoever opens it, so that tasks,
//! loads and exports share one budget. The coordinator's [`Configuration`] is applied at once, also to what is under way:
//! whoever waits or is in the middle of an object obeys the new one.
//!
//! | what | whose | where it is said |
//! |---|---|---|
//! | bytes and requests per second | the agent's | its configuration, or the coordinator, which wins |
//! | bytes and requests per second | its share of a repository | the coordinator |
//! | transfers in flight, `file://` | the agent's | its configuration |
//! | transfers in flight, elsewhere | the agent's | [`Window`], below what configuration or coordinator allow |
//! | cores | the agent's | its configuration, or the coordinator, which wins |
//!
//! Nothing of it is durable here: the coordinator says it again on every stream, and while there is none the last word
//! holds.
//!
//! [`StorageOpener`]: crate::config::StorageOpener

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tabvault_broker::limit::{Limits, Rates};
use tabvault_broker::observe::{Observer, Work};
use tabvault_broker::open::{Reach, reach};
use tabvault_common::access::StorageAccess;
use tabvault_common::clock::Clock;
use tabvault_common::settings::{AgentSettings, Configuration, RepositorySettings};

use crate::gate::Gate;
use crate::window::Window;

/// See the module. Clones are handles of the same one.
#[derive(Debug, Clone)]
pub(crate) struct Throttle {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    clock: Arc<dyn Clock>,
    /// Of all traffic.
    limits: Limits,
    /// Transfers to and from `file://`.
    local: Gate,
    /// All others, as wide as the window.
    remote: Gate,
    window: Mutex<Window>,
    /// Work on blocking threads.
    cores: Gate,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What the agent's own configuration says.
    own: AgentSettings,
    said: Configuration,
    /// Of what was opened at a location, while somebody uses it or the coordinator says something about it.
    repositories: BTreeMap<String, Limits>,
}

/// The most requests in flight where nothing is said.
pub(crate) const MAX_REQUESTS_IN_FLIGHT: u32 = 64;

impl Throttle {
    /// Nothing is limited yet but the window.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let window = Window::new(MAX_REQUESTS_IN_FLIGHT as usize);
        Self {
            inner: Arc::new(Inner {
                limits: Limits::new(Rates::default(), Arc::clone(&clock)),
                clock,
                local: Gate::open(),
                remote: Gate::new(window.width()),
                window: Mutex::new(window),
                cores: Gate::open(),
                state: Mutex::default(),
            }),
        }
    }

    /// Takes the agent's own configuration: what holds where the coordinator says nothing, and how many transfers to and
    /// from `file://` may be in flight.
    pub(crate) fn begin(&self, own: AgentSettings, local: usize) {
        self.inner.local.resize(local);
        let mut state = self.inner.state();
        state.own = own;
        self.inner.apply(&mut state);
    }

    /// Takes what the coordinator says.
    pub(crate) fn configure(&self, said: Configuration) {
        let mut state = self.inner.state();
        if state.said != said {
            tracing::info!(agent = ?said.agent, repositories = ?said.repositories, "what this agent keeps to has changed");
            state.said = said;
            self.inner.apply(&mut state);
        }
    }

    /// The budgets that traffic to `access` keeps to.
    pub(crate) fn limits(&self, access: &StorageAccess) -> Vec<Limits> {
        let mut state = self.inner.state();
        let State { said, repositories, .. } = &mut *state;
        repositories.retain(|location, limits| limits.is_shared() || said.repositories.contains_key(location));
        let share = repositories.entry(access.location.clone()).or_insert_with(|| {
            let share = said.repositories.get(&access.location).copied().unwrap_or_default();
            Limits::new(of_repository(share), Arc::clone(&self.inner.clock))
        });
        // Who waits for the repository's must not hold up the agent's other traffic.
        vec![self.inner.limits.clone(), share.clone()]
    }

    /// Who is to be told how requests to `access` go; nobody, where the window does not follow them.
    pub(crate) fn observer(&self, access: &StorageAccess) -> Option<Arc<dyn Observer>> {
        (!is_local(access)).then(|| Arc::clone(&self.inner) as Arc<dyn Observer>)
    }

    /// Where transfers to and from `access` wait for their turn.
    pub(crate) fn transfers(&self, access: &StorageAccess) -> &Gate {
        if is_local(access) { &self.inner.local } else { &self.inner.remote }
    }

    /// Where work on blocking threads waits for its turn.
    pub(crate) fn cores(&self) -> &Gate {
        &self.inner.cores
    }

    /// Time as whatever keeps to this measures it.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }
}

/// Whether bytes go to a disk of this machine and nowhere else: how many files that takes at once is known.
fn is_local(access: &StorageAccess) -> bool {
    // A location that cannot be opened is refused when it is.
    access.brokers.is_empty() && matches!(reach(access), Ok(Reach::Local))
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, state: &mut State) {
        let now = state.said.agent.or(state.own);
        let rates = rates(now.bytes_per_second, now.requests_per_second);
        self.limits.set(rates);
        self.cores.resize(match now.cpu_cores {
            None | Some(0) => usize::MAX,
            Some(cores) => cores as usize,
        });
        self.follow(|window| {
            window.set_most(now.max_requests_in_flight.unwrap_or(MAX_REQUESTS_IN_FLIGHT) as usize);
        });
        for (location, limits) in &state.repositories {
            limits.set(of_repository(state.said.repositories.get(location).copied().unwrap_or_default()));
        }
        metrics::gauge!("tabvault_agent_limit_bytes_per_second").set(rates.bytes_per_second.unwrap_or(0) as f64);
        metrics::gauge!("tabvault_agent_limit_requests_per_second").set(rates.requests_per_second.unwrap_or(0) as f64);
        metrics::gauge!("tabvault_agent_limit_cpu_cores").set(f64::from(now.cpu_cores.unwrap_or(0)));
    }

    /// Changes the window, and the gate with it.
    fn follow(&self, change: impl FnOnce(&mut Window)) {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let before = window.width();
        change(&mut window);
        if window.width() != before || self.remote.width() != before {
            self.remote.resize(window.width());
            metrics::gauge!("tabvault_agent_request_window").set(window.width() as f64);
        }
    }
}

impl Observer for Inner {
    fn done(&self, work: Work, bytes: u64, took: Duration) {
        let in_flight = self.remote.taken();
        self.follow(|window| window.done(work, bytes, took, in_flight));
    }

    fn pushed_back(&self) {
        metrics::counter!("tabvault_agent_push_backs_total").increment(1);
        self.follow(Window::pushed_back);
    }
}

fn of_repository(share: RepositorySettings) -> Rates {
    rates(share.bytes_per_second, share.requests_per_second)
}

/// Zero is unlimited.
fn rates(bytes_per_second: Option<u64>, requests_per_second: Option<u64>) -> Rates {
    let limited = |rate: Option<u64>| rate.filter(|rate| *rate > 0);
    Rates { bytes_per_second: limited(bytes_per_second), requests_per_second: limited(requests_per_second) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use tabvault_common::clock::SystemClock;

    use super::*;

    fn throttle() -> Throttle {
        Throttle::new(Arc::new(SystemClock))
    }

    fn share(bytes: u64) -> RepositorySettings {
        RepositorySettings { bytes_per_second: Some(bytes), requests_per_second: None }
    }

    #[test]
    fn the_coordinators_word_wins_over_the_agents_own_configuration_until_it_is_taken_back() {
        let throttle = throttle();
        let access = StorageAccess::direct("s3://b/r");
        let own = AgentSettings { bytes_per_second: Some(10), ..AgentSettings::default() };
        throttle.begin(own, 4);
        let agent = throttle.limits(&access).swap_remove(0);
        assert_eq!(agent.rates().bytes_per_second, Some(10));
        for (said, expected) in [(Some(7), Some(7)), (Some(0), None), (None, Some(10))] {
            let said = AgentSettings { bytes_per_second: said, ..AgentSettings::default() };
            throttle.configure(Configuration { agent: said, ..Configuration::default() });
            assert_eq!(agent.rates().bytes_per_second, expected);
        }
    }

    #[test]
    fn a_repositorys_share_reaches_storages_that_are_open_already() {
        let throttle = throttle();
        let (access, other) = (StorageAccess::direct("s3://b/r"), StorageAccess::direct("s3://b/other"));
        let (mine, others) = (throttle.limits(&access).swap_remove(1), throttle.limits(&other).swap_remove(1));
        let said = |shares: &[(&str, u64)]| Configuration {
            repositories: shares.iter().map(|(location, bytes)| ((*location).to_owned(), share(*bytes))).collect(),
            ..Configuration::default()
        };
        throttle.configure(said(&[("s3://b/r", 5)]));
        assert_eq!((mine.rates().bytes_per_second, others.rates()), (Some(5), Rates::default()));
        throttle.configure(said(&[]));
        assert_eq!(mine.rates(), Rates::default());
        throttle.configure(said(&[("s3://b/late", 6)]));
        let late = throttle.limits(&StorageAccess::direct("s3://b/late")).swap_remove(1);
        assert_eq!(late.rates().bytes_per_second, Some(6));
    }

    #[test]
    fn locations_that_nobody_uses_any_more_are_forgotten() {
        let throttle = throttle();
        for n in 0..100 {
            throttle.limits(&StorageAccess::direct(format!("s3://b/{n}")));
        }
        assert!(throttle.inner.state().repositories.len() <= 2);
    }

    #[test]
    fn only_storages_elsewhere_move_the_window() {
        let throttle = throttle();
        throttle.begin(AgentSettings::default(), 5);
        let local = StorageAccess::direct("file:///backup");
        let through = StorageAccess { brokers: vec!["http://127.0.0.1:1".to_owned()], ..local.clone() };
        assert!(throttle.observer(&local).is_none());
        assert_eq!(throttle.transfers(&local).width(), 5);
        let observer = throttle.observer(&through).unwrap();
        let before = throttle.transfers(&through).width();
        observer.pushed_back();
        assert_eq!(throttle.transfers(&through).width(), before / 2);
        assert_eq!(throttle.transfers(&local).width(), 5);
    }

    #[test]
    fn cores_and_the_windows_most_follow_what_is_said() {
        let throttle = throttle();
        let access = StorageAccess::direct("s3://b/r");
        let said = |cores, most| {
            let agent = AgentSettings {
                cpu_cores: Some(cores),
                max_requests_in_flight: Some(most),
                ..AgentSettings::default()
            };
            Configuration { agent, ..Configuration::default() }
        };
        throttle.configure(said(2, 3));
        assert_eq!((throttle.cores().width(), throttle.transfers(&access).width()), (2, 3));
        throttle.configure(said(0, 64));
        assert!(throttle.cores().width() > 1 << 20);
    }
}
