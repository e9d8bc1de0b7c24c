//! Making an encrypted device: which step is next. No IO.
//!
//! ```text
//! create → blank table → open it → mark it for removal with its last user ← from here on it goes with this process
//!                                                                  → table with the key → start
//! ```
//!
//! A process may be killed between any two steps. What it leaves before the mark has no key, and nothing below it; from the
//! mark on the kernel takes the device away with the process. The kernel sets the order: what has never had a
//! table cannot be opened, and what nobody has open is not marked but removed.

/// Which table a device has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    /// None.
    None,
    /// One that answers everything with an error, and was not started.
    Blank,
    /// The one with the key, not started yet.
    Keyed,
    /// The same, and it takes requests.
    Started,
}

/// Whether this process has it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpenHere {
    /// It has.
    Yes,
    /// It has not.
    No,
}

/// Whether the kernel removes it with its last user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Goes {
    /// It does.
    WithItsUser,
    /// It stays.
    NotByItself,
}

/// A device, as far as it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Device {
    /// Its table.
    pub table: Table,
    /// Whether it is open here.
    pub held: OpenHere,
    /// Whether it goes by itself.
    pub goes: Goes,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Make a device without a table.
    Create,
    /// Give it the blank table.
    Blank,
    /// Open it.
    Hold,
    /// Have it removed with its last user.
    Mark,
    /// Give it the table with the key.
    GiveKey,
    /// Have it take requests.
    Start,
}

/// The next step; `None`: it is made.
pub fn next(device: Option<Device>) -> Option<Step> {
    let Some(device) = device else { return Some(Step::Create) };
    match (device.table, device.held, device.goes) {
        (Table::None, _, _) => Some(Step::Blank),
        (_, OpenHere::No, _) => Some(Step::Hold),
        (_, OpenHere::Yes, Goes::NotByItself) => Some(Step::Mark),
        (Table::Blank, OpenHere::Yes, Goes::WithItsUser) => Some(Step::GiveKey),
        (Table::Keyed, OpenHere::Yes, Goes::WithItsUser) => Some(Step::Start),
        (Table::Started, OpenHere::Yes, Goes::WithItsUser) => None,
    }
}

/// The device after a step.
pub fn after(device: Option<Device>, step: Step) -> Option<Device> {
    let Some(device) = device else {
        return (step == Step::Create).then_some(Device {
            table: Table::None,
            held: OpenHere::No,
            goes: Goes::NotByItself,
        });
    };
    Some(match step {
        Step::Create => device,
        Step::Blank => Device { table: Table::Blank, ..device },
        Step::Hold => Device { held: OpenHere::Yes, ..device },
        Step::Mark => Device { goes: Goes::WithItsUser, ..device },
        Step::GiveKey => Device { table: Table::Keyed, ..device },
        Step::Start => Device { table: Table::Started, ..device },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Step; 6] = [Step::Create, Step::Blank, Step::Hold, Step::Mark, Step::GiveKey, Step::Start];

    /// What the kernel does with a step; `Err`: it refuses. (Tried on Linux 6.18 and 7.)
    fn kernel(device: Option<Device>, step: Step) -> Result<Option<Device>, ()> {
        let done = Ok(after(device, step));
        match (device, step) {
            (None, Step::Create) => done,
            (None, _) | (Some(_), Step::Create) => Err(()),
            (Some(device), Step::Hold) if device.table == Table::None => Err(()),
            // What nobody has open is removed at once.
            (Some(device), Step::Mark) if device.held == OpenHere::No => Ok(None),
            (Some(device), Step::Start) if device.table == Table::None => Err(()),
            (Some(_), _) => done,
        }
    }

    /// What stands when the process is gone.
    fn killed(device: Option<Device>) -> Option<Device> {
        let device = device?;
        let gone = device.goes == Goes::WithItsUser && device.held == OpenHere::Yes;
        (!gone).then_some(Device { held: OpenHere::No, ..device })
    }

    /// The first state in which a process that is killed leaves a key; an error of the kernel ends the order.
    fn fault(order: &[Step]) -> Option<Device> {
        let mut device = None;
        for step in order {
            let Ok(next) = kernel(device, *step) else { return None };
            device = next;
            let left = killed(device).filter(|left| matches!(left.table, Table::Keyed | Table::Started));
            if left.is_some() {
                return left;
            }
        }
        None
    }

    #[test]
    fn whoever_is_killed_at_any_step_leaves_no_key() {
        let (mut device, mut order) = (None, Vec::new());
        while let Some(step) = next(device) {
            order.push(step);
            device = kernel(device, step).expect("the kernel takes it");
            assert!(order.len() < 10, "{order:?} never ends");
        }
        assert_eq!(fault(&order), None, "{order:?}");
        assert_eq!(killed(device), None);
    }

    #[test]
    fn no_other_order_makes_a_device_and_leaves_no_key() {
        let (mut whole, mut faulty) = (0, 0);
        let mut orders = vec![Vec::new()];
        for _ in ALL {
            let longer = |order: &Vec<Step>| -> Vec<Vec<Step>> {
                let rest = ALL.into_iter().filter(|step| !order.contains(step));
                rest.map(|step| [&order[..], &[step]].concat()).collect()
            };
            orders = orders.iter().flat_map(longer).collect();
        }
        for order in orders {
            let made = order.iter().try_fold(None, |device, step| kernel(device, *step));
            let is_made = made.is_ok_and(|device| next(device).is_none());
            if is_made && fault(&order).is_none() {
                whole += 1;
            } else if fault(&order).is_some() {
                faulty += 1;
            }
        }
        assert_eq!(whole, 1, "one order alone is safe");
        assert!(faulty > 0, "the model finds what is not");
    }
}
