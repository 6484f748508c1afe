//! What every Prometheus client says of its process. Source: Prometheus, "Writing client libraries".

use std::fs;

use crate::exposition::{Exposition, Kind};

/// `USER_HZ`, which Linux fixes for what it tells programs.
const TICKS: f64 = 100.0;
const PAGE_BYTES: f64 = 4096.0;

pub(crate) fn add(out: &mut Exposition<'_>) {
    let Ok(stat) = fs::read_to_string("/proc/self/stat") else { return };
    // The name of the program is in parentheses and may contain anything.
    let Some((_, rest)) = stat.rsplit_once(") ") else { return };
    let field = |number: usize| rest.split(' ').nth(number - 3).and_then(|text| text.parse::<f64>().ok());
    let gauges = [
        ("process_resident_memory_bytes", "Memory this process has in RAM.", field(24).map(|pages| pages * PAGE_BYTES)),
        ("process_start_time_seconds", "When this process started, since 1970.", started(field(22))),
        ("process_threads", "Threads of this process.", field(20)),
        (
            "process_open_fds",
            "Open files and sockets.",
            fs::read_dir("/proc/self/fd").ok().map(|all| all.count() as f64),
        ),
    ];
    for (name, help, value) in gauges {
        if let Some(value) = value {
            out.single(name, Kind::Gauge, help, value);
        }
    }
    if let (Some(user), Some(system)) = (field(14), field(15)) {
        let help = "Processor time this process used.";
        out.single("process_cpu_seconds_total", Kind::Counter, help, (user + system) / TICKS);
    }
}

fn started(ticks_after_boot: Option<f64>) -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse::<f64>().ok()?;
    Some(boot + ticks_after_boot? / TICKS)
}
