//! The log, on standard error. Where that is a terminal that was closed, lines are lost and nothing else:
//! to complain about them there would end the thread that does.

use std::io::IsTerminal;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::command::LogLevel;

/// Starts it: lines for a person on a terminal, one JSON object a line everywhere else. A second
/// start changes nothing.
pub fn start(level: LogLevel) {
    let level = filter_of(level);
    let builder = fmt()
        .with_max_level(level)
        .with_timer(SystemTime)
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    // It fails only where a log has been started already.
    drop(if std::io::stderr().is_terminal() {
        builder.compact().try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    });
}

/// As [`start`], with something beside the log that sees more.
pub fn start_with<L>(level: LogLevel, beside: L)
where
    L: Layer<Registry> + Send + Sync,
{
    let level = filter_of(level);
    let lines = fmt::layer()
        .with_timer(SystemTime)
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    let lines: Box<dyn Layer<_> + Send + Sync> = if std::io::stderr().is_terminal() {
        lines.compact().with_filter(level).boxed()
    } else {
        lines.json().flatten_event(true).with_filter(level).boxed()
    };
    // It fails only where a log has been started already.
    drop(
        tracing_subscriber::registry()
            .with(beside)
            .with(lines)
            .try_init(),
    );
}

fn filter_of(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    }
}
