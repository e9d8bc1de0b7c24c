//! What is to be seen of the volume key after a lock: the hands look ([`crate::storage::traces`]), and the core judges.

use crate::home::facts::Place;
use crate::storage::traces::{self, Trace};
use crate::words::seal::{Looked, Seal, kernel_keeps_a_copy};

/// What is to be seen now.
pub fn look(place: &Place) -> Seal {
    let traces = traces::look(&super::system::clues(place));
    let release = rustix::system::uname();
    Seal {
        device: looked(traces.device),
        table: looked(traces.table),
        keyring: looked(traces.keyring),
        swap: looked(traces.swap),
        holders: looked(traces.holders),
        kernel: kernel_keeps_a_copy(&release.release().to_string_lossy()),
    }
}

fn looked(trace: Trace) -> Looked {
    match trace {
        Trace::Clear => Looked::Clear,
        Trace::Found(text) => Looked::Found(text),
        Trace::Unseen(text) => Looked::Unseen(text),
    }
}
