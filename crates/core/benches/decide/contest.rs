//! Contestants that take turns.

use std::hint::black_box;

use rustix::time::{ClockId, clock_gettime};

/// How often each contestant has its turn.
pub(crate) const ROUNDS: usize = 60;

/// Processor time of one turn, in nanoseconds: long enough for the clock, short enough to take
/// turns often.
const TURN: f64 = 10_000_000.0;

/// What the columns are.
pub(crate) const HEAD: &str = "\
us/op: median of all turns; spread: first to last decile; rate: operations a second on one core;
ratio: how much of the row's measure (*) is left at that speed";

/// Contestants in one row, the first of which the others are measured by.
pub(crate) struct Row {
    title: &'static str,
    /// How many operations of the first make up one of the others.
    measure: u32,
    /// The least ratio that the second must reach.
    limit: Option<f64>,
    contestants: Vec<Contestant>,
}

struct Contestant {
    name: &'static str,
    operation: Box<dyn FnMut()>,
    turn: u32,
    /// Nanoseconds of one operation, a number for each turn.
    seen: Vec<f64>,
}

impl Row {
    /// A row in which `measure` operations of the first contestant count as one.
    pub(crate) fn new(title: &'static str, measure: u32, limit: Option<f64>) -> Self {
        Self {
            title,
            measure,
            limit,
            contestants: Vec::new(),
        }
    }

    /// What it compares.
    pub(crate) fn title(&self) -> &'static str {
        self.title
    }

    /// Adds a contestant; what its operation returns is not optimised away.
    pub(crate) fn with<T>(
        mut self,
        name: &'static str,
        mut operation: impl FnMut() -> T + 'static,
    ) -> Self {
        self.contestants.push(Contestant {
            name,
            operation: Box::new(move || {
                black_box(operation());
            }),
            turn: 1,
            seen: Vec::new(),
        });
        self
    }

    /// Runs and prints.
    pub(crate) fn run(mut self, rounds: usize) {
        for contestant in &mut self.contestants {
            contestant.settle(rounds);
        }
        for _ in 0..rounds {
            for contestant in &mut self.contestants {
                contestant.take_turn();
            }
        }
        self.print(rounds);
    }

    fn print(&mut self, rounds: usize) {
        println!("\n{} ({rounds} turns each)", self.title);
        let mut measure = None;
        for (place, contestant) in self.contestants.iter_mut().enumerate() {
            contestant.seen.sort_by(f64::total_cmp);
            let at = |share: f64| {
                let last = contestant.seen.len() - 1;
                contestant.seen[(share * last as f64).round() as usize] / 1000.0
            };
            let median = at(0.5);
            let measure = *measure.get_or_insert(median * f64::from(self.measure));
            let ratio = match place {
                0 => format!("* {} of these", self.measure),
                _ => format!("{:.3}", measure / median),
            };
            let verdict = match self.limit {
                Some(limit) if place == 1 && measure / median >= limit => format!(" >= {limit}"),
                Some(limit) if place == 1 => format!(" MISSES {limit}"),
                _ => String::new(),
            };
            println!(
                "  {:<52} {:>9.3} us/op  {:>9.3} to {:>9.3}  {:>10.0}/s  {ratio}{verdict}",
                contestant.name,
                median,
                at(0.1),
                at(0.9),
                1_000_000.0 / median,
            );
        }
    }
}

impl Contestant {
    /// Finds out how many operations a turn has.
    fn settle(&mut self, rounds: usize) {
        if rounds == 1 {
            return;
        }
        while self.turn < 1 << 24 {
            if self.nanoseconds() * f64::from(self.turn) >= TURN {
                return;
            }
            self.turn *= 2;
        }
    }

    fn take_turn(&mut self) {
        let each = self.nanoseconds();
        self.seen.push(each);
    }

    fn nanoseconds(&mut self) -> f64 {
        let start = processor_time();
        for _ in 0..self.turn {
            (self.operation)();
        }
        (processor_time() - start) / f64::from(self.turn)
    }
}

/// Nanoseconds that this thread has run.
fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
