//! Objects of a token, and what they say of themselves.

use super::library::present;
use super::meaning::ok;
use super::session::Session;
use crate::Failure;
use cryptoki_sys as ck;
use zeroize::Zeroizing;

/// Largest attribute that is read, in bytes: certificates are the largest.
const LARGEST: usize = 64 * 1024;
/// Most objects that are looked at.
const MOST: usize = 64;

/// An attribute as it is searched for or made with.
pub struct Wanted {
    kind: ck::CK_ATTRIBUTE_TYPE,
    value: Vec<u8>,
}

impl Wanted {
    /// One with bytes.
    pub fn bytes(kind: ck::CK_ATTRIBUTE_TYPE, value: &[u8]) -> Self {
        Self { kind, value: value.to_vec() }
    }

    /// One with a number, as the machine has it.
    pub fn number(kind: ck::CK_ATTRIBUTE_TYPE, value: ck::CK_ULONG) -> Self {
        Self { kind, value: value.to_ne_bytes().to_vec() }
    }

    /// One that is so, or not.
    pub fn flag(kind: ck::CK_ATTRIBUTE_TYPE, value: bool) -> Self {
        Self { kind, value: vec![u8::from(value)] }
    }
}

/// The same for the library; the attributes have to live as long.
pub fn template(wanted: &mut [Wanted]) -> Vec<ck::CK_ATTRIBUTE> {
    wanted
        .iter_mut()
        .map(|one| ck::CK_ATTRIBUTE {
            type_: one.kind,
            ulValueLen: one.value.len() as ck::CK_ULONG,
            pValue: one.value.as_mut_ptr().cast(),
        })
        .collect()
}

impl Session<'_> {
    /// Objects with these attributes.
    pub fn find(&self, mut wanted: Vec<Wanted>) -> Result<Vec<ck::CK_OBJECT_HANDLE>, Failure> {
        let calls = &self.library.calls;
        let (init, next, end) = (
            present(calls.C_FindObjectsInit)?,
            present(calls.C_FindObjects)?,
            present(calls.C_FindObjectsFinal)?,
        );
        let mut template = template(&mut wanted);
        let count = template.len() as ck::CK_ULONG;
        // SAFETY: an open session; as many attributes as are said, whose values live in `wanted`.
        ok(unsafe { init(self.handle, template.as_mut_ptr(), count) }, "C_FindObjectsInit")?;
        let mut found = [0; MOST];
        let mut count = 0;
        // SAFETY: as many places as are said.
        let code = unsafe { next(self.handle, found.as_mut_ptr(), MOST as ck::CK_ULONG, &raw mut count) };
        // SAFETY: the search that was begun.
        unsafe { end(self.handle) };
        ok(code, "C_FindObjects")?;
        Ok(found[..usize::try_from(count).unwrap_or(0).min(MOST)].to_vec())
    }

    /// The value of an attribute; `None`: the object has none, or hides it.
    pub fn attribute(
        &self,
        object: ck::CK_OBJECT_HANDLE,
        kind: ck::CK_ATTRIBUTE_TYPE,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
        let get = present(self.library.calls.C_GetAttributeValue)?;
        let mut asked = ck::CK_ATTRIBUTE { type_: kind, pValue: std::ptr::null_mut(), ulValueLen: 0 };
        // SAFETY: an open session; one attribute, of which only the length is asked.
        let code = unsafe { get(self.handle, object, &raw mut asked, 1) };
        match code {
            ck::CKR_ATTRIBUTE_TYPE_INVALID | ck::CKR_ATTRIBUTE_SENSITIVE => return Ok(None),
            code => ok(code, "C_GetAttributeValue")?,
        }
        let length = usize::try_from(asked.ulValueLen).unwrap_or(usize::MAX);
        if length > LARGEST {
            return Ok(None);
        }
        let mut value = Zeroizing::new(vec![0_u8; length]);
        asked.pValue = value.as_mut_ptr().cast();
        // SAFETY: the same, with a buffer as long as is said.
        ok(unsafe { get(self.handle, object, &raw mut asked, 1) }, "C_GetAttributeValue")?;
        value.truncate(usize::try_from(asked.ulValueLen).unwrap_or(0));
        Ok(Some(value))
    }

    /// The same of a flag.
    pub fn flag(
        &self,
        object: ck::CK_OBJECT_HANDLE,
        kind: ck::CK_ATTRIBUTE_TYPE,
    ) -> Result<Option<bool>, Failure> {
        Ok(self.attribute(object, kind)?.and_then(|value| value.first().map(|byte| *byte != 0)))
    }

    /// The same of a number.
    pub fn number(
        &self,
        object: ck::CK_OBJECT_HANDLE,
        kind: ck::CK_ATTRIBUTE_TYPE,
    ) -> Result<Option<ck::CK_ULONG>, Failure> {
        let value = self.attribute(object, kind)?;
        Ok(value.and_then(|value| Some(ck::CK_ULONG::from_ne_bytes(value.as_slice().try_into().ok()?))))
    }
}
