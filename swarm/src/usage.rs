//! What a process costs, read from `/proc`: CPU seconds and resident memory; and how many files we may open.
//! A process that is gone, or a system without `/proc`, gives `None`, never an error: a run must not fail for it.

use procfs::{
    process::{ClearRefs, LimitValue, Process},
    ticks_per_second,
};
use serde::Serialize;

/// CPU seconds a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Cpu {
    pub(crate) user_s: f64,
    pub(crate) system_s: f64,
}

impl Cpu {
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = process(pid)?.stat().ok()?;
        let seconds = |ticks: u64| ticks as f64 / ticks_per_second() as f64;
        Some(Self { user_s: seconds(stat.utime), system_s: seconds(stat.stime) })
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
        let status = process(pid)?.status().ok()?;
        Some(Self { resident_kib: status.vmrss?, high_water_kib: status.vmhwm? })
    }

    /// Lets the most that `pid` ever had begin anew with what it has now, if we may (proc(5), clear_refs).
    pub(crate) fn forget_high_water(pid: u32) -> bool {
        process(pid).is_some_and(|process| process.clear_refs(ClearRefs::PeakRSS).is_ok())
    }
}

/// How many files this process may have open; `None` also where there is no limit.
pub(crate) fn open_files_max() -> Option<usize> {
    match Process::myself().ok()?.limits().ok()?.max_open_files.soft_limit {
        LimitValue::Value(files) => usize::try_from(files).ok(),
        LimitValue::Unlimited => None,
    }
}

fn process(pid: u32) -> Option<Process> {
    Process::new(i32::try_from(pid).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_process_can_be_measured() {
        let pid = std::process::id();
        let memory = Memory::of(pid).unwrap();
        assert!(0 < memory.resident_kib && memory.resident_kib <= memory.high_water_kib);
        assert!(Cpu::of(pid).unwrap().total_s() >= 0.0);
        assert!(open_files_max().is_none_or(|files| files > 0));
    }

    #[test]
    fn a_process_that_is_gone_has_no_figures() {
        for pid in [i32::MAX as u32, u32::MAX] {
            assert_eq!((Memory::of(pid), Cpu::of(pid)), (None, None));
            assert!(!Memory::forget_high_water(pid));
        }
    }
}
