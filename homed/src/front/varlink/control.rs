//! `io.systemd.service`: what systemd's tools ask of every service that speaks Varlink. Everybody may ask how much is
//! logged; only root changes it, or sees the daemon's environment.

use super::error;
use super::interface::invalid;
use crate::daemon::log;
use serde_json::{Value, json};

/// The interface in Varlink's definition language.
pub const DESCRIPTION: &str = "interface io.systemd.service

method Ping() -> ()

method SetLogLevel(
  level: int
) -> ()

method GetLogLevel() -> (
  level: int
)

method GetEnvironment() -> (
  environment: ?[]string
)

error InconsistentEnvironment()
";

/// The reply to a call of one of its methods, by the user with this UID.
pub fn call(method: &str, parameters: &Value, peer: u32) -> Value {
    let denied = || error("org.varlink.service.PermissionDenied", json!({}));
    match method {
        "Ping" => json!({"parameters": {}}),
        "GetLogLevel" => json!({"parameters": {"level": log::level_number()}}),
        "SetLogLevel" if peer != 0 => denied(),
        "SetLogLevel" => {
            let level = parameters["level"].as_u64().and_then(|level| usize::try_from(level).ok());
            match level.is_some_and(log::set_level_number) {
                true => json!({"parameters": {}}),
                false => invalid("level"),
            }
        }
        "GetEnvironment" if peer != 0 => denied(),
        "GetEnvironment" => {
            let line = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
                format!("{}={}", name.to_string_lossy(), value.to_string_lossy())
            };
            json!({"parameters": {"environment": std::env::vars_os().map(line).collect::<Vec<_>>()}})
        }
        other => error(
            "org.varlink.service.MethodNotFound",
            json!({"method": format!("io.systemd.service.{other}")}),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_may_ask_and_root_alone_may_change() {
        let level = |peer| call("GetLogLevel", &json!({}), peer)["parameters"]["level"].clone();
        assert_eq!(level(1000), json!(6));
        let set = |level: Value, peer| call("SetLogLevel", &json!({"level": level}), peer);
        assert_eq!(set(json!(7), 1000)["error"], "org.varlink.service.PermissionDenied");
        assert_eq!(set(json!(7), 0), json!({"parameters": {}}));
        for wrong in [json!(8), json!(-1), json!("debug"), Value::Null] {
            assert_eq!(set(wrong, 0)["error"], "org.varlink.service.InvalidParameter");
        }
        assert_eq!(call("GetEnvironment", &json!({}), 1000)["error"], "org.varlink.service.PermissionDenied");
        let environment = call("GetEnvironment", &json!({}), 0)["parameters"]["environment"].clone();
        assert!(environment.as_array().is_some_and(|all| {
            all.iter().any(|one| one.as_str().is_some_and(|line| line.starts_with("PATH=")))
        }));
        assert_eq!(call("Frob", &json!({}), 0)["error"], "org.varlink.service.MethodNotFound");
    }
}
