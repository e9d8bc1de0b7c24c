//! The commands that are needed (part 3), and what they answer.

use crate::failure::{meaning, number};
use crate::session::crypto::{DIGEST, Point, hash};
use crate::wire::{In, MOST, Out};
use crate::{Failure, Line};
use zeroize::Zeroizing;

/// The session goes on after the command.
pub const CONTINUE: u8 = 0x01;
/// The command's first parameter is hidden.
pub const DECRYPT: u8 = 0x20;
/// The response's is.
pub const ENCRYPT: u8 = 0x40;

const NO_SESSIONS: u16 = 0x8001;
const SESSIONS: u16 = 0x8002;
const OWNER: u32 = 0x4000_0001;
const NOBODY: u32 = 0x4000_0007;
/// An authorization in clear: where it is empty anyway.
const PLAIN: u32 = 0x4000_0009;
/// Where a storage key of the owner's is kept by convention (TCG, "TPM v2.0 Provisioning Guidance").
pub const KEPT: u32 = 0x8100_0001;

const NULL: u16 = 0x0010;
const SHA256: u16 = 0x000b;
const AES: u16 = 0x0006;
const CFB: u16 = 0x0043;
const ECC: u16 = 0x0023;
const KEYED_HASH: u16 = 0x0008;
const P256: u16 = 0x0003;

/// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, restricted, decrypt: the storage root key of the TCG.
const OF_SRK: u32 = 0x0003_0472;
/// fixedTPM, fixedParent, and nothing else: by policy alone, and wrong authorizations are counted.
const OF_SEALED: u32 = 0x0000_0012;

/// How often a command is sent again that the TPM puts off.
const AGAIN: usize = 100;

/// One command.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    /// TPM_CC.
    pub code: u32,
    /// What it is called in failures.
    pub name: &'static str,
    /// How many handles its response begins with.
    handles: usize,
}

macro_rules! commands {
    ($( $name:ident, $code:literal, $text:literal, $handles:literal; )*) => {
        $( pub const $name: Command = Command { code: $code, name: $text, handles: $handles }; )*
    };
}

commands! {
    CREATE_PRIMARY, 0x131, "CreatePrimary", 1;
    CREATE, 0x153, "Create", 0;
    LOAD, 0x157, "Load", 1;
    UNSEAL, 0x15e, "Unseal", 0;
    FLUSH, 0x165, "FlushContext", 0;
    POLICY_AUTH_VALUE, 0x16b, "PolicyAuthValue", 0;
    READ_PUBLIC, 0x173, "ReadPublic", 0;
    START_SESSION, 0x176, "StartAuthSession", 1;
    GET_CAPABILITY, 0x17a, "GetCapability", 0;
    PCR_READ, 0x17e, "PCR_Read", 0;
    POLICY_PCR, 0x17f, "PolicyPCR", 0;
    POLICY_DIGEST, 0x189, "PolicyGetDigest", 0;
}

/// What a command answered.
pub struct Response {
    /// Its handle, or 0.
    pub handle: u32,
    /// Its parameters.
    pub parameters: Zeroizing<Vec<u8>>,
    /// What the session has to say.
    pub authorization: Vec<u8>,
}

/// A TPM. What is opened in it is closed with it.
pub struct Tpm<'a> {
    line: &'a mut dyn Line,
    open: Vec<u32>,
}

impl Drop for Tpm<'_> {
    fn drop(&mut self) {
        for handle in std::mem::take(&mut self.open).into_iter().rev() {
            // The kernel closes what stays open.
            let _ = self.run(FLUSH, Out::new().u32(handle).get());
        }
    }
}

impl<'a> Tpm<'a> {
    pub fn new(line: &'a mut dyn Line) -> Self {
        Self { line, open: Vec::new() }
    }

    /// A command without authorization.
    pub fn run(&mut self, command: Command, content: &[u8]) -> Result<Response, Failure> {
        self.send(command, NO_SESSIONS, content)
    }

    /// A command with one, for one handle.
    pub fn run_authorized(
        &mut self,
        command: Command,
        handle: u32,
        authorization: &[u8],
        parameters: &[u8],
    ) -> Result<Response, Failure> {
        let size = u32::try_from(authorization.len()).unwrap_or(u32::MAX);
        let content = Out::new().u32(handle).u32(size).bytes(authorization).bytes(parameters);
        self.send(command, SESSIONS, content.get())
    }

    fn send(&mut self, command: Command, tag: u16, content: &[u8]) -> Result<Response, Failure> {
        let size = u32::try_from(content.len() + 10).unwrap_or(u32::MAX);
        let sent = Out::new().u16(tag).u32(size).u32(command.code).bytes(content);
        for _ in 0..AGAIN {
            let answer = self.line.ask(sent.get())?;
            let mut read = In::new(&answer);
            let tag = read.u16()?;
            let size = read.u32()?;
            let code = read.u32()?;
            if usize::try_from(size) != Ok(answer.len()) || answer.len() > MOST {
                return Err(Failure::Broken(format!(
                    "{}: a response of another size than it says",
                    command.name
                )));
            }
            if number::AGAIN.contains(&code) {
                continue;
            }
            if code != number::SUCCESS {
                return Err(meaning(code, command.name));
            }
            return self.parts(command, tag, read);
        }
        Err(Failure::Broken(format!("{}: it puts it off again and again", command.name)))
    }

    fn parts(&mut self, command: Command, tag: u16, mut read: In<'_>) -> Result<Response, Failure> {
        let handle = if command.handles == 0 { 0 } else { read.u32()? };
        if handle != 0 {
            self.open.push(handle);
        }
        let (parameters, authorization) = if tag == SESSIONS {
            let size = read.u32()?;
            (read.bytes(usize::try_from(size).unwrap_or(usize::MAX))?, read.rest())
        } else {
            (read.rest(), &[][..])
        };
        let parameters = Zeroizing::new(parameters.to_vec());
        Ok(Response { handle, parameters, authorization: authorization.to_vec() })
    }
}

/// An authorization by an empty password.
fn empty() -> Out {
    Out::new().u32(PLAIN).sized(&[]).u8(0).sized(&[])
}

/// Properties of TPM_PT.
mod property {
    pub const PERMANENT: u32 = 0x200;
    pub const LOCKOUT_COUNTER: u32 = 0x20e;
    pub const MAX_AUTH_FAIL: u32 = 0x20f;
    /// TPMA_PERMANENT.inLockout.
    pub const IN_LOCKOUT: u32 = 1 << 9;
}

/// What the TPM says of wrong authorizations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lockout {
    /// It takes none now.
    pub is_now: bool,
    /// How many it has counted.
    pub counted: u32,
    /// How many it takes.
    pub most: u32,
}

pub fn lockout(tpm: &mut Tpm<'_>) -> Result<Lockout, Failure> {
    let mut value = |wanted: u32| -> Result<u32, Failure> {
        // TPM_CAP_TPM_PROPERTIES; one of them.
        let answer = tpm.run(GET_CAPABILITY, Out::new().u32(6).u32(wanted).u32(1).get())?;
        let mut read = In::new(&answer.parameters);
        // Whether there is more, and of which kind: as was asked.
        let (_, _) = (read.u8()?, read.u32()?);
        let (count, property, value) = (read.u32()?, read.u32()?, read.u32()?);
        match count == 1 && property == wanted {
            true => Ok(value),
            false => Err(Failure::Broken("it does not say what it counts".into())),
        }
    };
    Ok(Lockout {
        is_now: value(property::PERMANENT)? & property::IN_LOCKOUT != 0,
        counted: value(property::LOCKOUT_COUNTER)?,
        most: value(property::MAX_AUTH_FAIL)?,
    })
}

/// A storage root key.
pub struct Srk {
    /// Its handle.
    pub handle: u32,
    /// Its name, reckoned here.
    pub name: Vec<u8>,
    /// Its public half.
    pub point: Point,
}

/// What a storage root key is, up to the point.
fn srk_template() -> Out {
    Out::new()
        .u16(ECC)
        .u16(SHA256)
        .u32(OF_SRK)
        .sized(&[])
        .u16(AES)
        .u16(128)
        .u16(CFB)
        .u16(NULL)
        .u16(P256)
        .u16(NULL)
}

/// What a public area is called: its hash, with the hash's number before it (part 1, 16).
pub fn name(public: &[u8]) -> Vec<u8> {
    [&SHA256.to_be_bytes()[..], &hash(&[public])].concat()
}

/// A public area as a storage root key of ours.
fn srk(handle: u32, public: &[u8]) -> Option<Srk> {
    let template = srk_template();
    let mut read = In::new(public.strip_prefix(template.get())?);
    let mut coordinate = || -> Option<[u8; DIGEST]> {
        let bytes = read.sized().ok().filter(|bytes| bytes.len() <= DIGEST)?;
        let mut place = [0; DIGEST];
        place[DIGEST - bytes.len()..].copy_from_slice(bytes);
        Some(place)
    };
    let point = Point { x: coordinate()?, y: coordinate()? };
    Some(Srk { handle, name: name(public), point })
}

/// The key that the computer keeps, if it is of the right kind.
pub fn kept_srk(tpm: &mut Tpm<'_>) -> Option<Srk> {
    let answer = tpm.run(READ_PUBLIC, Out::new().u32(KEPT).get()).ok()?;
    srk(KEPT, In::new(&answer.parameters).sized().ok()?)
}

/// The same key, made anew: a TPM that was not cleared makes the same one each time.
pub fn made_srk(tpm: &mut Tpm<'_>) -> Result<Srk, Failure> {
    let template = srk_template().sized(&[]).sized(&[]);
    // No authorization and no data; no creation data that anybody wants.
    let sensitive = Out::new().sized(&[]).sized(&[]);
    let wish = Out::new().sized(sensitive.get()).sized(template.get()).sized(&[]).u32(0);
    let answer = tpm.run_authorized(CREATE_PRIMARY, OWNER, empty().get(), wish.get())?;
    let public = In::new(&answer.parameters).sized()?.to_vec();
    srk(answer.handle, &public).ok_or_else(|| Failure::Broken("CreatePrimary: it made another key".into()))
}

/// Opens a session: its handle, and the TPM's nonce.
pub fn start_session(
    tpm: &mut Tpm<'_>,
    srk: u32,
    nonce: &[u8],
    secret: &[u8],
    kind: u8,
) -> Result<(u32, Vec<u8>), Failure> {
    let wish = Out::new().u32(srk).u32(NOBODY).sized(nonce).sized(secret).u8(kind);
    let wish = wish.u16(AES).u16(128).u16(CFB).u16(SHA256);
    let answer = tpm.run(START_SESSION, wish.get())?;
    let nonce = In::new(&answer.parameters).sized()?.to_vec();
    Ok((answer.handle, nonce))
}

/// What a sealed secret is: opened by this policy alone.
pub fn sealed_template(policy: &[u8]) -> Out {
    Out::new().u16(KEYED_HASH).u16(SHA256).u32(OF_SEALED).sized(policy).u16(NULL).sized(&[])
}

/// The policy of a sealed secret, where it is one.
pub fn policy_of(public: &[u8]) -> Option<&[u8]> {
    let mut read = In::new(public);
    let head = (read.u16().ok()?, read.u16().ok()?, read.u32().ok()?);
    let policy = read.sized().ok()?;
    (head == (KEYED_HASH, SHA256, OF_SEALED)).then_some(policy)
}

/// Loads an object; its handle.
pub fn load(tpm: &mut Tpm<'_>, srk: u32, private: &[u8], public: &[u8]) -> Result<u32, Failure> {
    let wish = Out::new().sized(private).sized(public);
    tpm.run_authorized(LOAD, srk, empty().get(), wish.get()).map(|answer| answer.handle)
}
