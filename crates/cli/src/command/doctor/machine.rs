//! The machine of a broker that runs on this one: its disk, and its limits.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use client::{Admin, Broker};

use super::Findings;

/// Synced writes that are timed, and the time of one from which senders suffer.
const WRITES: usize = 32;
const SYNC_SLOW: Duration = Duration::from_millis(10);

/// Open files below this are few for a broker: each client is one.
const FILES_FEW: u64 = 65_536;

/// Examines the machine if it is this one. Nothing is said about others: nobody there can be asked.
pub(super) async fn examine(admin: &Admin, broker: &Broker, findings: &mut Findings) {
    if !is_here(&broker.address) {
        return;
    }
    let Ok(settings) = admin.broker_config(&broker.address).await else { return };
    let Some(dir) = settings.get("storePathRootDir").map(PathBuf::from).filter(|dir| dir.is_dir()) else { return };
    let subject = format!("broker {} {}", broker.name, broker.address);
    let timed = tokio::task::block_in_place(|| sync_time(&dir));
    match timed {
        Ok(time) => disk_speed(&subject, time, findings),
        // Its disk may be read by its own user only.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        Err(error) => {
            let found = format!("a write to {} fails: {error}", dir.display());
            findings.bad(&subject, found, "Look at the disk: a broker that cannot write takes no messages.");
        }
    }
    // Both kinds of brokers write their process id into this file while they run.
    let pid = fs::read_to_string(dir.join("abort")).ok().and_then(|pid| pid.trim().parse::<u32>().ok());
    let limits = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/limits")).ok());
    if let Some(files) = limits.as_deref().and_then(open_files) {
        few_files(&subject, files, findings);
    }
}

/// An address of this machine is one that can be bound.
fn is_here(address: &str) -> bool {
    address.parse::<SocketAddr>().is_ok_and(|address| UdpSocket::bind((address.ip(), 0)).is_ok())
}

/// The median time of a small write with its sync, in a file that is removed again.
fn sync_time(dir: &Path) -> io::Result<Duration> {
    let path = dir.join(format!("doctor-{}.tmp", std::process::id()));
    let timed = File::create_new(&path).and_then(|mut file| {
        let mut times = Vec::with_capacity(WRITES);
        for _ in 0..WRITES {
            let begin = Instant::now();
            file.write_all(&[0; 4096])?;
            file.sync_data()?;
            times.push(begin.elapsed());
        }
        times.sort_unstable();
        Ok(times[WRITES / 2])
    });
    // The failure above says more than that of removing what may not be there.
    let _ = fs::remove_file(&path);
    timed
}

fn disk_speed(subject: &str, time: Duration, findings: &mut Findings) {
    let found = format!("a synced write of 4 KiB takes {:.1} ms", time.as_secs_f64() * 1000.0);
    if time >= SYNC_SLOW {
        findings.note(subject, found, "With SYNC_FLUSH every send waits for one: give it a faster disk.");
    } else {
        findings.good(subject, found);
    }
}

/// The soft limit of open files in a table of limits. Source: Linux, `proc(5)`.
fn open_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

fn few_files(subject: &str, files: u64, findings: &mut Findings) {
    if files < FILES_FEW {
        let found = format!("may have {files} open files, and each client is one");
        findings.note(subject, found, "Raise it: LimitNOFILE in systemd, ulimits in Docker, ulimit -n in a shell.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_open_files_are_read() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max file locks            unlimited            unlimited            locks     \n\
                      Max open files            1024                 524288               files     \n";
        assert_eq!(open_files(limits), Some(1024));
        assert_eq!(open_files("Max open files  unlimited unlimited files"), Some(u64::MAX));
        assert_eq!(open_files(""), None);
        let mut findings = Findings::default();
        few_files("b", 1024, &mut findings);
        few_files("b", FILES_FEW, &mut findings);
        assert_eq!(findings.0.len(), 1);
    }

    #[test]
    fn a_disk_is_timed_and_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        assert!(sync_time(dir.path()).unwrap() > Duration::ZERO);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(sync_time(&dir.path().join("missing")).is_err());
    }

    #[test]
    fn only_addresses_of_this_machine_are_here() {
        assert!(is_here("127.0.0.1:10911"));
        assert!(!is_here("192.0.2.1:10911"));
        assert!(!is_here("broker-a:10911"));
    }
}
