//! Calls as they come: which method with which parameters, and what is answered without a look at
//! any home.

use super::control;
use super::error;
use super::query::{Kind, Query};
use crate::daemon::link::lower_case;
use records::userdb::SERVICE;
use serde_json::{Value, json};

/// The interface in Varlink's definition language.
const DESCRIPTION: &str = "interface io.systemd.UserDatabase

method GetUserRecord(
  uid: ?int,
  userName: ?string,
  service: string
) -> (
  record: object,
  incomplete: ?bool
)

method GetGroupRecord(
  gid: ?int,
  groupName: ?string,
  service: string
) -> (
  record: object,
  incomplete: ?bool
)

method GetMemberships(
  userName: ?string,
  groupName: ?string,
  service: string
) -> (
  userName: string,
  groupName: string
)

error NoRecordFound()
error BadService()
error ServiceNotAvailable()
error ConflictingRecordFound()
error EnumerationNotSupported()
";

/// The interface that every Varlink service has (<https://varlink.org/Service>).
const OF_VARLINK: &str = "interface org.varlink.service

method GetInfo() -> (
  vendor: string,
  product: string,
  version: string,
  url: string,
  interfaces: []string
)

method GetInterfaceDescription(
  interface: string
) -> (
  description: string
)

error InterfaceNotFound(
  interface: string
)

error MethodNotFound(
  method: string
)

error InvalidParameter(
  parameter: string
)

error PermissionDenied()
";

/// Texts of one kind in a question.
const MOST_TEXTS: usize = 16;
/// Bytes of each.
const LONGEST_TEXT: usize = 256;

/// What is to be done.
pub enum Method {
    /// Nothing more: this is the reply.
    Known(Value),
    /// The homes are asked.
    Query(Query),
}

/// Reads a call of the user with this UID.
pub fn method(call: &Value, peer: u32) -> Method {
    let parameters = &call["parameters"];
    let query = |kind| match query(kind, parameters, call["more"] == json!(true)) {
        Ok(query) => Method::Query(query),
        Err(reply) => Method::Known(reply),
    };
    match call["method"].as_str() {
        Some("io.systemd.UserDatabase.GetUserRecord") => query(Kind::User),
        Some("io.systemd.UserDatabase.GetGroupRecord") => query(Kind::Group),
        Some("io.systemd.UserDatabase.GetMemberships") => query(Kind::Membership),
        Some("org.varlink.service.GetInfo") => Method::Known(info()),
        Some("org.varlink.service.GetInterfaceDescription") => Method::Known(describe(parameters)),
        Some(other) => Method::Known(match other.strip_prefix("io.systemd.service.") {
            Some(name) => control::call(name, parameters, peer),
            None => error("org.varlink.service.MethodNotFound", json!({"method": other})),
        }),
        None => Method::Known(invalid("method")),
    }
}

/// A parameter that cannot be.
pub fn invalid(parameter: &str) -> Value {
    error("org.varlink.service.InvalidParameter", json!({"parameter": parameter}))
}

fn info() -> Value {
    json!({"parameters": {
        "vendor": "homed",
        "product": "homed",
        "version": env!("CARGO_PKG_VERSION"),
        "url": "",
        "interfaces": ["io.systemd.UserDatabase", "io.systemd.service", "org.varlink.service"],
    }})
}

fn describe(parameters: &Value) -> Value {
    match parameters["interface"].as_str() {
        Some("io.systemd.UserDatabase") => json!({"parameters": {"description": DESCRIPTION}}),
        Some("io.systemd.service") => json!({"parameters": {"description": control::DESCRIPTION}}),
        Some("org.varlink.service") => json!({"parameters": {"description": OF_VARLINK}}),
        Some(other) => error("org.varlink.service.InterfaceNotFound", json!({"interface": other})),
        None => invalid("interface"),
    }
}

fn query(kind: Kind, parameters: &Value, more: bool) -> Result<Query, Value> {
    if parameters["service"] != json!(SERVICE) {
        return Err(error("io.systemd.UserDatabase.BadService", json!({})));
    }
    let (user, group) = (text(parameters, "userName")?, text(parameters, "groupName")?);
    let (uid, gid) = (number(parameters, "uid")?, number(parameters, "gid")?);
    Ok(match kind {
        Kind::User => Query {
            kind,
            user,
            id: uid,
            group: None,
            smallest: number(parameters, "uidMin")?,
            largest: number(parameters, "uidMax")?,
            dispositions: texts(parameters, "dispositionMask")?,
            fuzzy: texts(parameters, "fuzzyNames")?.map(in_lower_case),
            more,
        },
        Kind::Group => Query {
            kind,
            user: None,
            id: gid,
            group,
            smallest: number(parameters, "gidMin")?,
            largest: number(parameters, "gidMax")?,
            dispositions: texts(parameters, "dispositionMask")?,
            fuzzy: texts(parameters, "fuzzyNames")?.map(in_lower_case),
            more,
        },
        Kind::Membership => Query {
            kind,
            user,
            id: None,
            group,
            smallest: None,
            largest: None,
            dispositions: None,
            fuzzy: None,
            more,
        },
    })
}

fn text(parameters: &Value, name: &str) -> Result<Option<String>, Value> {
    match &parameters[name] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(invalid(name)),
    }
}

fn number(parameters: &Value, name: &str) -> Result<Option<u32>, Value> {
    match &parameters[name] {
        Value::Null => Ok(None),
        value => match value.as_u64().and_then(|number| u32::try_from(number).ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(invalid(name)),
        },
    }
}

/// Some texts, as many and as long as anybody needs: every home is compared with each.
fn texts(parameters: &Value, name: &str) -> Result<Option<Vec<String>>, Value> {
    let text = |item: &Value| item.as_str().filter(|text| text.len() <= LONGEST_TEXT).map(str::to_owned);
    match &parameters[name] {
        Value::Null => Ok(None),
        Value::Array(items) if items.len() <= MOST_TEXTS => {
            items.iter().map(text).collect::<Option<Vec<_>>>().map(Some).ok_or_else(|| invalid(name))
        }
        _ => Err(invalid(name)),
    }
}

fn in_lower_case(texts: Vec<String>) -> Vec<String> {
    texts.iter().map(|text| lower_case(text)).collect()
}
