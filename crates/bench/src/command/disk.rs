//! `bench disk`: the yardstick of every durable send.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use rustix::fs::OFlags;

use super::send::rate;
use crate::Error;
use crate::args::{Watch, seconds};
use crate::clock::Clock;
use crate::pace::Pace;
use crate::process::Processes;
use crate::record::Recorder;
use crate::report::Report;

/// The file is begun again when it has this size, that of a segment of the log.
const FILE_BYTES: u64 = 1 << 30;

/// How it is named; it is removed at the end.
const FILE_NAME: &str = "rocketmq-bench-disk.tmp";

/// Writes to a file, each write durable before the next: what the disk itself can do
///
/// No server takes part. A durable send cannot be faster than such a write of its size; a server that takes many sends
/// at once writes them together, so compare with the size of its batches.
#[derive(Debug, Args)]
pub(crate) struct DiskArgs {
    /// Directory on the disk
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Bytes of each write
    #[arg(long, short = 's', value_name = "BYTES", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=67_108_864))]
    size: u32,
    /// Writes per second, as an open loop [default: one after the other]
    #[arg(long, short = 'r', value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// Seconds that are measured
    #[arg(long, short = 'd', value_name = "SECONDS", default_value_t = 5.0)]
    duration: f64,
    #[command(flatten)]
    watch: Watch,
}

impl DiskArgs {
    pub(super) fn run(self) -> Result<(), Error> {
        let path = self.dir.join(FILE_NAME);
        let failed = |error: io::Error| Error::Impossible(format!("write {}: {error}", path.display()));
        let measured = open(&path).and_then(|file| Ok((self.measure(&file)?, fs::remove_file(&path)?)));
        let (report, ()) = measured.map_err(failed)?;
        super::print(&self.watch, &report);
        Ok(())
    }

    fn measure(&self, file: &File) -> io::Result<Report> {
        let clock = Clock::start();
        let end = seconds(self.duration).map_err(io::Error::other)?.as_nanos() as u64;
        let own = Processes::itself();
        let mut recorder = Recorder::new(0, end);
        let mut pace = self.rate.map(|rate| Pace::new(0, end, rate));
        let bytes = vec![0x5a; self.size as usize];
        let mut at = 0;
        let before = own.cpu_seconds();
        while let Some(intended) = next(&clock, pace.as_mut(), end) {
            recorder.left(intended, clock.now());
            file.write_all_at(&bytes, at)?;
            let now = clock.now();
            recorder.answered(intended, now);
            recorder.messages(1, bytes.len() as u64, now);
            at = if at + 2 * bytes.len() as u64 > FILE_BYTES { 0 } else { at + bytes.len() as u64 };
        }
        let words = match self.rate {
            Some(rate) => format!("{rate:.0} writes of {} bytes a second, each synced", self.size),
            None => format!("writes of {} bytes, each synced before the next", self.size),
        };
        let seconds = Duration::from_nanos(end.min(clock.now())).as_secs_f64();
        Ok(Report::new(("disk", words), &recorder, seconds, own.cpu_seconds() - before, None))
    }
}

/// As the log is: of its full size, without blocks, and every write as `fdatasync` would leave it.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::DSYNC.bits() as i32;
    let file = OpenOptions::new().write(true).create_new(true).custom_flags(flags).open(path)?;
    file.set_len(FILE_BYTES)?;
    file.sync_all()?;
    Ok(file)
}

/// When the next write is meant to begin, once it is time for it; `None` at the end.
fn next(clock: &Clock, pace: Option<&mut Pace>, end: u64) -> Option<u64> {
    let Some(pace) = pace else { return Some(clock.now()).filter(|now| *now < end) };
    clock.sleep_until(pace.next()?);
    // A disk that cannot keep up has writes that were due and never left; they are not waited for beyond the end.
    pace.take(clock.now()).filter(|_| clock.now() < end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(dir: &Path, rate: Option<f64>) -> DiskArgs {
        let watch = Watch { server_pid: Vec::new(), json: true, quiet: true };
        DiskArgs { dir: dir.to_owned(), size: 512, rate, duration: 0.2, watch }
    }

    #[test]
    fn every_write_is_counted_and_the_file_is_gone_afterwards() {
        let dir = std::env::temp_dir().join(format!("bench-disk-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join(FILE_NAME);
        let report = args(&dir, Some(50.0)).measure(&open(&path).unwrap()).unwrap();
        assert!((1..=10).contains(&report.requests), "{}", report.requests);
        assert!(report.latency_ms.is_some());
        fs::remove_file(&path).unwrap();
        args(&dir, None).run().unwrap();
        assert!(!path.exists());
        fs::write(&path, "somebody's").unwrap();
        let error = args(&dir, None).run().unwrap_err().to_string();
        assert!(error.contains(FILE_NAME), "{error}");
        fs::remove_dir_all(&dir).unwrap();
    }
}
