//! Both ends of handing a secret over the daemon's own socket (`records::handoff` has the words).
