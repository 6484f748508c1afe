//! CPU time and memory of processes, from `/proc`.

use std::collections::HashMap;
use std::fs;

use crate::Error;

/// Processes that are watched, each with all its threads and children.
#[derive(Debug, Clone)]
pub(crate) struct Processes(Vec<u32>);

/// What `/proc/PID/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// User and system time of its threads and of children that ended and were waited for.
    ticks: u64,
}

/// Bytes in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    /// Largest since the process began.
    pub(crate) peak: u64,
}

impl Processes {
    pub(crate) fn new(pids: &[u32]) -> Result<Self, Error> {
        for pid in pids {
            stat(*pid).ok_or_else(|| Error::Process { pid: *pid, reason: "it does not exist".into() })?;
        }
        Ok(Processes(pids.to_vec()))
    }

    pub(crate) fn itself() -> Self {
        Processes(vec![std::process::id()])
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// CPU seconds so far. The system counts in ticks of 10 ms.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let ticks: u64 = self.family().iter().filter_map(|pid| stat(*pid)).map(|stat| stat.ticks).sum();
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64
    }

    pub(crate) fn memory(&self) -> Memory {
        let all = self.family();
        all.iter().filter_map(|pid| memory(*pid)).fold(Memory::default(), |sum, one| Memory {
            resident: sum.resident + one.resident,
            peak: sum.peak + one.peak,
        })
    }

    /// The processes and what descends from them, each once.
    fn family(&self) -> Vec<u32> {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok())
                && let Some(stat) = stat(pid)
            {
                children.entry(stat.parent).or_default().push(pid);
            }
        }
        let mut all = self.0.clone();
        let mut next = 0;
        while let Some(pid) = all.get(next) {
            let new: Vec<u32> =
                children.get(pid).into_iter().flatten().copied().filter(|pid| !all.contains(pid)).collect();
            all.extend(new);
            next += 1;
        }
        all
    }
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Source: `man 5 proc_pid_stat`: field 4 is the parent, 14 to 17 are utime, stime, cutime, cstime. The name in field 2
/// may hold anything, so fields are counted from its closing parenthesis.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, after) = text.rsplit_once(')')?;
    let fields: Vec<&str> = after.split_ascii_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().map(|field| field.parse::<u64>().ok()).sum::<Option<u64>>()?;
    Some(Stat { parent: fields.get(1)?.parse().ok()?, ticks })
}

fn memory(pid: u32) -> Option<Memory> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
    };
    Some(Memory { resident: of("VmRSS:")?, peak: of("VmHWM:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_the_name() {
        let text = "42 (a ) b) S 7 42 42 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 9 0 1 2 3";
        assert_eq!(parse_stat(text), Some(Stat { parent: 7, ticks: 127 }));
        assert_eq!(parse_stat("42 (x) S 7"), None);
    }

    #[test]
    fn this_process_has_memory_and_its_parent_a_child() {
        let memory = Processes::itself().memory();
        assert!(memory.resident > 0 && memory.peak >= memory.resident, "{memory:?}");
        let parent = Processes::new(&[std::os::unix::process::parent_id()]).unwrap();
        assert!(parent.family().contains(&std::process::id()));
        assert!(Processes::new(&[u32::MAX]).is_err());
    }
}
