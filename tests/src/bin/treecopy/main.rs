//! Trees for the machine: `treecopy nasty DIR` builds one with everything that copies get wrong, `copy FROM TO` copies one, `differences
//! ONE OTHER` compares two, `measure DIR` counts.

use std::fs::File;
use std::os::fd::AsFd;

use anyhow::{Result, bail, ensure};
use copytree::{Continue, Copy, copy, differences, done, measure};
use homed_tests::nasty::{Rights, build};

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["nasty", top] => build(top.as_ref(), Rights::Root)?,
        ["own", top] => build(top.as_ref(), Rights::Own)?,
        ["measure", top] => println!("{:#?}", measure(File::open(top)?.as_fd())?),
        ["copy", from, to] => println!("{:#?}", copied(from, to, u64::MAX)?),
        // Ends after so many reports, as if it had been killed there.
        ["copy", from, to, reports] => println!("{:#?}", copied(from, to, reports.parse()?)?),
        ["done", to] => done(File::open(to)?.as_fd())?,
        ["differences", one, other] => {
            let found = differences(File::open(one)?.as_fd(), File::open(other)?.as_fd(), 50)?;
            for difference in &found {
                println!("{difference:?}");
            }
            ensure!(found.is_empty(), "{} differences", found.len());
        }
        _ => bail!(
            "usage: treecopy nasty|measure DIR, copy FROM TO [REPORTS], done DIR, differences ONE OTHER"
        ),
    }
    Ok(())
}

fn copied(from: &str, to: &str, reports: u64) -> Result<copytree::Copied> {
    let (from, to) = (File::open(from)?, File::open(to)?);
    let mut left = reports;
    let mut progress = |_: copytree::Progress| {
        left -= 1;
        if left == 0 {
            std::process::abort();
        }
        Continue::Yes
    };
    let copy = copy(Copy {
        from: from.as_fd(),
        to: to.as_fd(),
        except: &[],
        cross_mounts: false,
        terms: copytree::Terms::default(),
        progress: &mut progress,
    })?;
    Ok(copy)
}
