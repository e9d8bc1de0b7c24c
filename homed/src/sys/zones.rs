//! How much of the free memory no user program can get, and how much each processor has put aside: `/proc/zoneinfo`.
//!
//! The page allocator gives a page of a zone to a user program as long as the zone then has more free pages left than
//! its watermark and, in a zone that is precious (memory below 16 MiB or 4 GiB), what it holds back from those who can
//! use another zone (proc_sys_vm(5), `lowmem_reserve_ratio`; mm/page_alloc.c, `__zone_watermark_ok`). Above the
//! watermark `high` nothing is reclaimed for that.

use std::collections::BTreeMap;
use std::fs;
use std::io;

/// A zone of one node, in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Zone {
    free: u64,
    high: u64,
    /// What it holds back from those who can use any zone: the last of `protection`.
    held_back: u64,
}

/// All zones of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Zones {
    zones: Vec<Zone>,
    /// By processor, in pages.
    aside: BTreeMap<usize, u64>,
}

impl Zones {
    /// As they are now.
    pub fn now() -> io::Result<Self> {
        Self::parse(&fs::read_to_string("/proc/zoneinfo")?)
            .ok_or_else(|| io::Error::other("/proc/zoneinfo cannot be read"))
    }

    /// Reads the kernel's text; `None` without any zone.
    pub fn parse(text: &str) -> Option<Self> {
        let mut all = Self::default();
        let mut processor = 0;
        for line in text.lines().map(str::trim) {
            if line.starts_with("Node ") {
                all.zones.push(Zone::default());
            } else if let Some(number) = value(line, "cpu:") {
                processor = usize::try_from(number).ok()?;
            } else if let Some(count) = value(line, "count:") {
                *all.aside.entry(processor).or_default() += count;
            } else if let Some(zone) = all.zones.last_mut() {
                zone.learn(line);
            }
        }
        (!all.zones.is_empty()).then_some(all)
    }

    /// Free pages that no user program gets without taking from others.
    pub fn out_of_reach(&self) -> u64 {
        self.zones.iter().map(|zone| zone.free.min(zone.high + zone.held_back)).sum()
    }

    /// Free pages that this processor keeps for itself, and that no count of free memory has.
    pub fn aside(&self, processor: usize) -> u64 {
        self.aside.get(&processor).copied().unwrap_or(0)
    }
}

impl Zone {
    fn learn(&mut self, line: &str) {
        if let Some(pages) = value(line, "pages free ") {
            self.free = pages;
        } else if let Some(pages) = value(line, "high ") {
            self.high = pages;
        } else if let Some(list) = line.strip_prefix("protection: (") {
            let last = list.trim_end_matches(')').rsplit(',').next();
            self.held_back = last.and_then(|number| number.trim().parse().ok()).unwrap_or(0);
        }
    }
}

fn value(line: &str, name: &str) -> Option<u64> {
    line.strip_prefix(name)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESKTOP: &str = include_str!("zones/desktop-24g.txt");
    const LAPTOP: &str = include_str!("zones/laptop-64g.txt");
    const SMALL: &str = include_str!("zones/all-below-4g.txt");
    const ONE: &str = include_str!("zones/user-mode-linux.txt");

    fn zones(text: &str) -> Zones {
        Zones::parse(text).expect("zones")
    }

    #[test]
    fn above_4_gib_what_lower_zones_hold_back_is_out_of_reach() {
        // DMA is free and held back as a whole; DMA32 gives what is above its watermark and the reserve; of Movable
        // there is nothing.
        assert_eq!(zones(DESKTOP).out_of_reach(), 3840 + (3660 + 21071) + 25557);
        assert_eq!(zones(LAPTOP).out_of_reach(), 2816 + (1453 + 61929) + 48101);
    }

    #[test]
    fn the_watermarks_alone_would_never_be_reached() {
        for text in [DESKTOP, LAPTOP] {
            let zones = zones(text);
            let watermarks: u64 = zones.zones.iter().map(|zone| zone.high).sum();
            let (reserve, margin) = (zones.out_of_reach() - watermarks, (2 << 20) / 4096);
            assert!(reserve > margin, "nothing is held back here");
        }
    }

    #[test]
    fn below_4_gib_watermarks_are_nearly_all() {
        assert_eq!(zones(SMALL).out_of_reach(), 43 + 1959 + 2381);
        let one = zones(ONE);
        assert_eq!(one.zones.iter().filter(|zone| zone.free > 0).count(), 1);
        let watermarks: u64 = one.zones.iter().map(|zone| zone.high.min(zone.free)).sum();
        assert_eq!(one.out_of_reach(), watermarks);
    }

    #[test]
    fn no_more_than_what_is_free_is_out_of_reach() {
        let text = "Node 0, zone DMA32\n pages free 100\n high 300\n protection: (0, 900)\n";
        assert_eq!(zones(text).out_of_reach(), 100);
        assert_eq!(Zones::parse("nothing"), None);
    }

    #[test]
    fn what_processors_have_put_aside_is_counted_by_processor() {
        let desktop = zones(DESKTOP);
        assert!(desktop.aside(0) > 1000 && desktop.aside(1) > 1000, "{:?}", desktop.aside);
        assert_eq!(desktop.aside(7), 0);
        assert_eq!(zones(LAPTOP).aside(0), 31 + 1204);
    }

    #[test]
    fn this_machine_has_zones() {
        assert!(Zones::now().expect("read").out_of_reach() > 0);
    }
}
