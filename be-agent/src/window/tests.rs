#![allow(clippy::unwrap_used, clippy::panic)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;

const SECOND: u64 = 1_000_000;

/// A storage in virtual time: so many servers, each busy with one request for as long as it takes; what comes more waits,
/// and beyond a queue of some length is pushed back.
struct Simulation {
    servers: usize,
    service: u64,
    queue: usize,
    window: Window,
    now: u64,
    /// When each server is free again.
    free: Vec<u64>,
    /// Ends, begins, and whether it is a push-back.
    in_flight: BinaryHeap<Reverse<(u64, u64, bool)>>,
    dice: u64,
    pushed_back: usize,
}

impl Simulation {
    fn new(servers: usize, queue: usize) -> Self {
        let (service, window) = (SECOND / 20, Window::new(64));
        let free = vec![0; servers];
        Self { servers, service, queue, window, now: 0, free, in_flight: BinaryHeap::new(), dice: 1, pushed_back: 0 }
    }

    /// Times vary by half in both directions.
    fn service_time(&mut self) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.service / 2 + (self.dice >> 33) % self.service
    }

    fn begin(&mut self) {
        let waiting = self.in_flight.iter().filter(|Reverse((_, _, refused))| !refused).count();
        if waiting >= self.servers + self.queue {
            self.in_flight.push(Reverse((self.now + SECOND / 100, self.now, true)));
            return;
        }
        let service = self.service_time();
        let server = (0..self.servers).min_by_key(|server| self.free[*server]).unwrap();
        let end = self.free[server].max(self.now) + service;
        self.free[server] = end;
        self.in_flight.push(Reverse((end, self.now, false)));
    }

    /// Until so many more outcomes are known, with always as much to do as the window allows; the widths meanwhile.
    fn run(&mut self, outcomes: usize) -> Vec<usize> {
        let mut widths = Vec::new();
        for _ in 0..outcomes {
            while self.in_flight.len() < self.window.width() {
                self.begin();
            }
            let in_flight = self.in_flight.len();
            let Reverse((end, began, refused)) = self.in_flight.pop().unwrap();
            self.now = self.now.max(end);
            if refused {
                self.pushed_back += 1;
                self.window.pushed_back();
            } else {
                self.window.done(Work::Write, 1 << 20, Duration::from_micros(end - began), in_flight);
            }
            widths.push(self.window.width());
        }
        widths
    }

    fn resize(&mut self, servers: usize) {
        self.servers = servers;
        self.free.resize(servers, self.now);
    }
}

fn average(widths: &[usize]) -> f64 {
    widths.iter().sum::<usize>() as f64 / widths.len() as f64
}

#[test]
fn the_width_comes_to_where_more_requests_would_only_wait() {
    for servers in [1, 4, 12, 20, 30] {
        let mut simulation = Simulation::new(servers, usize::MAX >> 1);
        simulation.run(4000);
        let width = average(&simulation.run(20_000));
        let knee = servers as f64;
        assert!(width >= 0.9 * knee && width <= 2.0 * knee, "{servers} servers: {width}");
    }
}

#[test]
fn a_storage_that_takes_all_gets_all_soon() {
    let mut simulation = Simulation::new(1000, 0);
    let widths = simulation.run(600);
    assert_eq!(widths.last(), Some(&64), "{widths:?}");
}

#[test]
fn a_storage_that_pushes_back_is_hardly_pushed_any_more() {
    let mut simulation = Simulation::new(10, 0);
    simulation.run(1000);
    let before = simulation.pushed_back;
    let width = average(&simulation.run(20_000));
    let share = (simulation.pushed_back - before) as f64 / 20_000.0;
    assert!(share < 0.05, "{share} of the requests are pushed back");
    assert!(width > 5.0, "{width}");
}

#[test]
fn an_outage_narrows_to_one_and_the_width_recovers_after_it() {
    let mut simulation = Simulation::new(40, 0);
    simulation.run(2000);
    assert!(simulation.window.width() >= 20);
    // Nothing is taken for a while.
    simulation.resize(0);
    simulation.run(200);
    assert_eq!(simulation.window.width(), 1);
    simulation.resize(40);
    let widths = simulation.run(1500);
    assert!(widths.iter().any(|width| *width >= 20), "{widths:?}");
}

#[test]
fn a_storage_that_has_become_slower_for_good_gets_as_many_requests_again() {
    let mut simulation = Simulation::new(1000, 0);
    simulation.run(1000);
    simulation.service *= 10;
    simulation.run(500);
    assert!(simulation.window.width() < 64);
    simulation.run(20_000);
    let width = average(&simulation.run(5000));
    assert!(width > 40.0, "{width}");
}

#[test]
fn what_was_in_flight_when_the_width_was_halved_does_not_halve_it_again() {
    let mut window = Window::new(64);
    for _ in 0..9 {
        window.pushed_back();
    }
    assert_eq!(window.width(), 4);
    window.pushed_back();
    assert_eq!(window.width(), 2, "this one was begun at the new width");
}

#[test]
fn a_width_that_nobody_uses_up_does_not_grow() {
    let mut window = Window::new(64);
    for _ in 0..1000 {
        window.done(Work::Read, 1 << 20, Duration::from_millis(10), 3);
    }
    assert!(window.width() <= START);
}

#[test]
fn requests_of_other_sizes_are_not_taken_for_slow_ones() {
    let mut window = Window::new(64);
    for n in 0..400_u64 {
        let (bytes, took) = if n % 2 == 0 { (1 << 10, 5) } else { (32 << 20, 2000) };
        window.done(Work::Write, bytes, Duration::from_millis(took), 64);
    }
    assert_eq!(window.width(), 64);
}

#[test]
fn a_smaller_most_narrows_at_once_and_a_larger_one_lets_it_grow() {
    let mut window = Window::new(64);
    window.set_most(3);
    assert_eq!(window.width(), 3);
    window.set_most(0);
    assert_eq!(window.width(), 1);
    window.set_most(16);
    for _ in 0..400 {
        window.done(Work::Look, 0, Duration::from_millis(5), 16);
    }
    assert_eq!(window.width(), 16);
}
