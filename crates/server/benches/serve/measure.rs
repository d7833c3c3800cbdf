//! Time, processor time and memory of this process.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// How often each thing is measured.
pub(crate) const ROUNDS: usize = 5;

/// What the names of the rows that are wanted have in them; nothing for all.
static ONLY: OnceLock<Vec<String>> = OnceLock::new();

/// Says which rows are wanted.
pub(crate) fn only<'a>(parts: impl Iterator<Item = &'a str>) {
    ONLY.get_or_init(|| parts.map(str::to_owned).collect());
}

/// Whether a row is wanted.
pub(crate) fn is_wanted(name: &str) -> bool {
    let only = ONLY.get().map(Vec::as_slice).unwrap_or_default();
    only.is_empty() || only.iter().any(|part| name.contains(part.as_str()))
}

/// What a round took.
pub(crate) struct Round {
    pub(crate) wall: Duration,
    /// Of all threads of this process, in the kernel as well.
    pub(crate) processor: Duration,
}

pub(crate) fn round(work: impl FnOnce()) -> Round {
    let (started, busy) = (Instant::now(), processor());
    work();
    Round {
        wall: started.elapsed(),
        processor: processor() - busy,
    }
}

pub(crate) fn processor() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap())
}

/// Prints how many there were per second of the wall and of the processor: median, least, most.
pub(crate) fn report(name: &str, count: usize, rounds: &[Round], limit: &str) {
    let per = |time: fn(&Round) -> Duration| {
        median(
            rounds
                .iter()
                .map(|round| count as f64 / time(round).as_secs_f64()),
        )
    };
    let (wall, processor) = (per(|round| round.wall), per(|round| round.processor));
    println!(
        "  {name:<34} {:>8.0}/s ({:.0} to {:.0}), {:>8.0} per processor second ({:.0} to {:.0}); {limit}",
        wall.0, wall.1, wall.2, processor.0, processor.1, processor.2
    );
}

/// The median, the least and the most.
pub(crate) fn median(of: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut sorted: Vec<f64> = of.collect();
    sorted.sort_by(f64::total_cmp);
    (
        sorted[sorted.len() / 2],
        sorted[0],
        sorted[sorted.len() - 1],
    )
}

/// How long one of these takes on this processor now, in microseconds: the least of a few turns.
pub(crate) fn least_microseconds(mut work: impl FnMut()) -> f64 {
    const TIMES: u32 = 200;
    let turns = (0..10).map(|_| {
        let busy = processor();
        for _ in 0..TIMES {
            work();
        }
        (processor() - busy).as_secs_f64() * 1e6 / f64::from(TIMES)
    });
    turns.fold(f64::INFINITY, f64::min)
}

/// Memory that is this process's own, in MiB.
pub(crate) fn memory() -> u64 {
    memory_of(std::process::id())
}

/// Memory that is another process's own, in MiB.
pub(crate) fn memory_of(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    kilobytes.unwrap().parse::<u64>().unwrap() / 1024
}

/// Prints how long it took until what was created was seen, and what was removed.
pub(crate) fn report_changes(created: &mut [Duration], removed: &mut [Duration]) {
    for (name, times) in [("created", created), ("removed", removed)] {
        println!(
            "  {name}: median {:.1} ms, p99 {:.1} ms, most {:.1} ms; wanted p99 200 ms",
            percentile(times, 0.5),
            percentile(times, 0.99),
            percentile(times, 1.0),
        );
    }
}

/// The value below which this share of the times lies, in milliseconds.
pub(crate) fn percentile(times: &mut [Duration], share: f64) -> f64 {
    times.sort();
    let place = ((times.len() - 1) as f64 * share).round();
    times[place as usize].as_secs_f64() * 1e3
}
