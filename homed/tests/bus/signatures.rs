//! The methods as systemd-homed declares them.

/// "in>out" of a method in introspection data.
pub fn signature(xml: &str, method: &str) -> Option<String> {
    let body = xml.split(&format!("<method name=\"{method}\">")).nth(1)?.split("</method>").next()?;
    let of = |direction: &str| -> String {
        let tags = body.split("<arg ").filter(|tag| tag.contains(&format!("direction=\"{direction}\"")));
        tags.filter_map(|tag| tag.split("type=\"").nth(1)?.split('"').next()).collect()
    };
    Some(format!("{}>{}", of("in"), of("out")))
}

/// The manager's methods, as systemd-homed declares them.
pub const SIGNATURES: &[(&str, &str)] = &[
    ("GetHomeByName", "s>usussso"),
    ("GetHomeByUID", "u>ssussso"),
    ("GetUserRecordByName", "s>sbo"),
    ("GetUserRecordByUID", "u>sbo"),
    ("ListHomes", ">a(susussso)"),
    ("ActivateHome", "ss>"),
    ("ActivateHomeIfReferenced", "ss>"),
    ("DeactivateHome", "s>"),
    ("RegisterHome", "s>"),
    ("AdoptHome", "st>"),
    ("UnregisterHome", "s>"),
    ("CreateHome", "s>"),
    ("CreateHomeEx", "sa{sh}t>"),
    ("RealizeHome", "ss>"),
    ("RemoveHome", "s>"),
    ("FixateHome", "ss>"),
    ("AuthenticateHome", "ss>"),
    ("UpdateHome", "s>"),
    ("UpdateHomeEx", "sa{sh}t>"),
    ("ResizeHome", "sts>"),
    ("ChangePasswordHome", "sss>"),
    ("LockHome", "s>"),
    ("UnlockHome", "ss>"),
    ("AcquireHome", "ssb>h"),
    ("RefHome", "sb>h"),
    ("RefHomeUnrestricted", "sb>h"),
    ("ReleaseHome", "s>"),
    ("ListSigningKeys", ">a(sst)"),
    ("GetSigningKey", "s>st"),
    ("AddSigningKey", "sst>"),
    ("RemoveSigningKey", "st>"),
    ("LockAllHomes", ">"),
    ("DeactivateAllHomes", ">"),
    ("Rebalance", ">"),
];

/// A home's methods.
pub const HOME_SIGNATURES: &[(&str, &str)] = &[
    ("Activate", "s>"),
    ("ActivateIfReferenced", "s>"),
    ("Deactivate", ">"),
    ("Unregister", ">"),
    ("Realize", "s>"),
    ("Remove", ">"),
    ("Fixate", "s>"),
    ("Authenticate", "s>"),
    ("Update", "s>"),
    ("UpdateEx", "sa{sh}t>"),
    ("Resize", "ts>"),
    ("ChangePassword", "ss>"),
    ("Lock", ">"),
    ("Unlock", "s>"),
    ("Acquire", "sb>h"),
    ("Ref", "b>h"),
    ("RefUnrestricted", "b>h"),
    ("Release", ">"),
];
