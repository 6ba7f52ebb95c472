//! CPU time and memory of a server: a process and everything it started.

use std::collections::HashMap;
use std::fs;

#[derive(Clone, Copy, Default, Debug)]
pub struct Usage {
    pub cpu_s: f64,
    pub rss_kb: u64,
    /// Shared pages counted once.
    pub pss_kb: u64,
    pub peak_rss_kb: u64,
    /// Resident and not backed by a file.
    pub anon_kb: u64,
}

/// pid, parent, CPU ticks
fn stat(pid: u32) -> Option<(u32, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text[text.rfind(')')? + 2..].split(' ').collect();
    Some((
        fields[1].parse().ok()?,
        fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?,
    ))
}

fn field(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|l| l.strip_prefix(name))
        .and_then(|l| l.split_whitespace().next())
        .and_then(|v| v.parse().ok())
        .unwrap_or(0)
}

pub fn usage(roots: &[u32]) -> Usage {
    let mut all = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Some(pid) = entry.file_name().to_str().and_then(|s| s.parse::<u32>().ok())
            && let Some(stat) = stat(pid)
        {
            all.insert(pid, stat);
        }
    }
    let below = |mut pid: u32| loop {
        if roots.contains(&pid) {
            return true;
        }
        match all.get(&pid) {
            Some((parent, _)) if *parent > 1 => pid = *parent,
            _ => return false,
        }
    };
    // SAFETY: sysconf reads a constant.
    let hertz = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
    let mut usage = Usage::default();
    for (&pid, (_, ticks)) in all.iter().filter(|(pid, _)| below(**pid)) {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        usage.cpu_s += *ticks as f64 / hertz;
        usage.rss_kb += field(&status, "VmRSS:");
        usage.anon_kb += field(&status, "RssAnon:");
        usage.peak_rss_kb += field(&status, "VmHWM:");
        usage.pss_kb += field(&rollup, "Pss:");
    }
    usage
}

/// CPU seconds this process has used.
pub fn own_cpu_s() -> f64 {
    // SAFETY: rusage is plain numbers, for which zero is a value.
    let mut r: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a whole rusage.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut r) };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    seconds(r.ru_utime) + seconds(r.ru_stime)
}

/// Kernel objects of the whole machine: sockets and files, at both ends of every connection.
pub fn slab_kb() -> u64 {
    field(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "Slab:")
}
