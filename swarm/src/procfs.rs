//! What a process costs, read from `/proc`: CPU seconds and resident memory; and how many files we may open.
//! A process that is gone, or a system without `/proc`, gives `None`, never an error: a run must not fail for it.

use std::fs;

use serde::Serialize;

/// `/proc/PID/stat` counts in USER_HZ, which Linux has fixed at 100 for programs on every common architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Cpu {
    pub(crate) user_s: f64,
    pub(crate) system_s: f64,
}

impl Cpu {
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The command name may hold spaces and brackets, so fields count from the last `)`: state is the first after it,
    /// user time the 12th, system time the 13th.
    fn parse(stat: &str) -> Option<Self> {
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
        let mut seconds = || Some(fields.next()?.parse::<f64>().ok()? / TICKS_PER_SECOND);
        Some(Self { user_s: seconds()?, system_s: seconds()? })
    }

    pub(crate) fn since(self, earlier: Self) -> Self {
        Self { user_s: self.user_s - earlier.user_s, system_s: self.system_s - earlier.system_s }
    }

    pub(crate) fn total_s(self) -> f64 {
        self.user_s + self.system_s
    }
}

/// Memory of a process in KiB: resident now, and the most it ever was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    pub(crate) resident_kib: u64,
    pub(crate) high_water_kib: u64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
    }

    /// Lets the most that `pid` ever had begin anew with what it has now, if we may (proc(5), clear_refs).
    pub(crate) fn forget_high_water(pid: u32) -> bool {
        fs::write(format!("/proc/{pid}/clear_refs"), "5").is_ok()
    }

    fn parse(status: &str) -> Option<Self> {
        let field = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix("kB")?.trim().parse().ok()
        };
        Some(Self { resident_kib: field("VmRSS:")?, high_water_kib: field("VmHWM:")? })
    }
}

/// How many files this process may have open.
pub(crate) fn open_files_max() -> Option<usize> {
    parse_open_files(&fs::read_to_string("/proc/self/limits").ok()?)
}

fn parse_open_files(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_found_behind_any_command_name() {
        let stat =
            "42 (a) b (c)) S 1 42 42 0 -1 4194560 900 0 0 0 1234 567 0 0 20 0 4 0 100 1000 10 184";
        assert_eq!(Cpu::parse(stat), Some(Cpu { user_s: 12.34, system_s: 5.67 }));
        assert_eq!(Cpu::parse("42 (cut short) S 1"), None);
    }

    #[test]
    fn memory_and_limits_are_found_by_name() {
        let status = "Name:\tbillion\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(
            Memory::parse(status),
            Some(Memory { resident_kib: 1024, high_water_kib: 2048 })
        );
        assert_eq!(Memory::parse("Name:\tzombie\n"), None);
        let limits = "Limit  Soft  Hard Units\nMax open files            20000                20000                files \n";
        assert_eq!(parse_open_files(limits), Some(20_000));
    }

    #[test]
    fn this_very_process_can_be_measured() {
        let pid = std::process::id();
        assert!(Memory::of(pid).unwrap().resident_kib > 0 && Cpu::of(pid).is_some());
        assert_eq!((Memory::of(u32::MAX), Cpu::of(u32::MAX)), (None, None));
    }
}
