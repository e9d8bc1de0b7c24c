//! The search of all the machine's memory, from outside: it sees what the guest's own root could not.
