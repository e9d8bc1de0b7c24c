//! A token in use.

use super::attributes::{Wanted, template};
use super::library::{Library, present};
use super::meaning::ok;
use crate::Failure;
use crate::token::{Algorithm, Facts, Padding, PinState, PrivateKey, PublicKey, Sealed, Token};
use crate::uri::Uri;
use cryptoki_sys as ck;
use records::Secret;
use std::ffi::c_void;
use zeroize::Zeroizing;

/// A session with a token. Its end is also the end of what was logged in.
pub struct Session<'a> {
    pub(super) library: &'a Library,
    pub(super) handle: ck::CK_SESSION_HANDLE,
    slot: ck::CK_SLOT_ID,
    facts: Facts,
}

impl<'a> Session<'a> {
    /// Opens one, to read.
    pub fn open(library: &'a Library, slot: ck::CK_SLOT_ID, facts: Facts) -> Result<Self, Failure> {
        let mut handle = 0;
        let open = present(library.calls.C_OpenSession)?;
        // SAFETY: a slot of the library's, nobody to be called, and a place for a number.
        let code = unsafe { open(slot, ck::CKF_SERIAL_SESSION, std::ptr::null_mut(), None, &raw mut handle) };
        ok(code, "C_OpenSession")?;
        Ok(Self { library, handle, slot, facts })
    }

    fn login_as(&self, user: ck::CK_USER_TYPE, pin: Option<&Secret>) -> Result<(), Failure> {
        let login = present(self.library.calls.C_Login)?;
        let (text, length) = match pin {
            Some(pin) => (pin.open().as_ptr().cast_mut(), pin.open().len()),
            None => (std::ptr::null_mut(), 0),
        };
        // SAFETY: an open session; a text as long as is said, which is only read.
        ok(unsafe { login(self.handle, user, text, length as ck::CK_ULONG) }, "C_Login")
    }

    fn decrypt(
        &self,
        key: &PrivateKey,
        sealed: &Sealed<'_>,
        pin: Option<&Secret>,
    ) -> Result<Secret, Failure> {
        let calls = &self.library.calls;
        let (init, decrypt) = (present(calls.C_DecryptInit)?, present(calls.C_Decrypt)?);
        let mut oaep = oaep(sealed.padding);
        let mut mechanism = match &mut oaep {
            None => mechanism::<()>(ck::CKM_RSA_PKCS, None),
            Some(oaep) => mechanism(ck::CKM_RSA_PKCS_OAEP, Some(oaep)),
        };
        // SAFETY: an open session; a mechanism whose parameters live until the end of this function.
        ok(unsafe { init(self.handle, &raw mut mechanism, key.handle) }, "C_DecryptInit")?;
        if key.each_time {
            self.login_as(ck::CKU_CONTEXT_SPECIFIC, pin)?;
        }
        // What was encrypted is never longer than the ciphertext.
        let mut bytes = Zeroizing::new(vec![0; sealed.data.len()]);
        let mut length = bytes.len() as ck::CK_ULONG;
        let (data, size) = (sealed.data.as_ptr().cast_mut(), sealed.data.len() as ck::CK_ULONG);
        // SAFETY: buffers as long as are said; the first is only read.
        let code = unsafe { decrypt(self.handle, data, size, bytes.as_mut_ptr(), &raw mut length) };
        ok(code, "C_Decrypt")?;
        bytes.truncate(usize::try_from(length).unwrap_or(0));
        Ok(Secret::new(std::mem::take(&mut *bytes)))
    }

    /// ECDH with the point that is kept: the X coordinate of what is agreed on, as it is.
    fn agree(&self, key: &PrivateKey, point: &[u8], pin: Option<&Secret>) -> Result<Secret, Failure> {
        let calls = &self.library.calls;
        let (derive, destroy) = (present(calls.C_DeriveKey)?, present(calls.C_DestroyObject)?);
        let mut parameters = ck::CK_ECDH1_DERIVE_PARAMS {
            kdf: ck::CKD_NULL,
            ulSharedDataLen: 0,
            pSharedData: std::ptr::null_mut(),
            ulPublicDataLen: point.len() as ck::CK_ULONG,
            pPublicData: point.as_ptr().cast_mut(),
        };
        let mut mechanism = mechanism(ck::CKM_ECDH1_DERIVE, Some(&mut parameters));
        let mut wanted = [
            Wanted::flag(ck::CKA_TOKEN, false),
            Wanted::number(ck::CKA_CLASS, ck::CKO_SECRET_KEY),
            Wanted::number(ck::CKA_KEY_TYPE, ck::CKK_GENERIC_SECRET),
            Wanted::flag(ck::CKA_SENSITIVE, false),
            Wanted::flag(ck::CKA_EXTRACTABLE, true),
        ];
        let mut template = template(&mut wanted);
        let mut made = 0;
        let mut once = || {
            let (handle, count) = (key.handle, template.len() as ck::CK_ULONG);
            // SAFETY: an open session; mechanism, point and attributes live until the end of this function.
            unsafe {
                derive(self.handle, &raw mut mechanism, handle, template.as_mut_ptr(), count, &raw mut made)
            }
        };
        let mut code = once();
        if key.each_time && code == ck::CKR_USER_NOT_LOGGED_IN {
            self.login_as(ck::CKU_CONTEXT_SPECIFIC, pin)?;
            code = once();
        }
        ok(code, "C_DeriveKey")?;
        let value = self.attribute(made, ck::CKA_VALUE);
        // SAFETY: an open session, and the object of it that was made.
        unsafe { destroy(self.handle, made) };
        let mut value =
            value?.ok_or_else(|| Failure::Broken("it keeps what was agreed on to itself".into()))?;
        Ok(Secret::new(std::mem::take(&mut *value)))
    }

    fn private_key(&self, object: ck::CK_OBJECT_HANDLE) -> Result<Option<PrivateKey>, Failure> {
        let (algorithm, use_of) = match self.number(object, ck::CKA_KEY_TYPE)? {
            Some(ck::CKK_RSA) => (Algorithm::Rsa, ck::CKA_DECRYPT),
            Some(ck::CKK_EC) => (Algorithm::Ec, ck::CKA_DERIVE),
            _ => return Ok(None),
        };
        if self.flag(object, use_of)? == Some(false) {
            return Ok(None);
        }
        let bytes = |kind| {
            Ok::<_, Failure>(self.attribute(object, kind)?.map_or_else(Vec::new, |value| value.to_vec()))
        };
        Ok(Some(PrivateKey {
            handle: object,
            id: bytes(ck::CKA_ID)?,
            label: bytes(ck::CKA_LABEL)?,
            algorithm,
            each_time: self.flag(object, ck::CKA_ALWAYS_AUTHENTICATE)? == Some(true),
        }))
    }

    fn public_part(
        &self,
        object: ck::CK_OBJECT_HANDLE,
        algorithm: Algorithm,
    ) -> Result<Option<PublicKey>, Failure> {
        let kinds = match algorithm {
            Algorithm::Rsa => [ck::CKA_MODULUS, ck::CKA_PUBLIC_EXPONENT],
            Algorithm::Ec => [ck::CKA_EC_PARAMS, ck::CKA_EC_POINT],
        };
        let [one, two] = kinds.map(|kind| self.attribute(object, kind));
        let whole =
            |part: Option<Zeroizing<Vec<u8>>>| part.map(|part| part.to_vec()).filter(|part| !part.is_empty());
        Ok(whole(one?).zip(whole(two?)).map(|(one, two)| match algorithm {
            Algorithm::Rsa => PublicKey::Rsa(one, two),
            Algorithm::Ec => PublicKey::Ec(one, two),
        }))
    }
}

impl Token for Session<'_> {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn pin_state(&self) -> Result<PinState, Failure> {
        let flags = self.library.info(self.slot)?.flags;
        let has = |flag| flags & flag != 0;
        Ok(PinState {
            needed: has(ck::CKF_LOGIN_REQUIRED),
            pad: has(ck::CKF_PROTECTED_AUTHENTICATION_PATH),
            locked: has(ck::CKF_USER_PIN_LOCKED),
            few: has(ck::CKF_USER_PIN_COUNT_LOW),
            one: has(ck::CKF_USER_PIN_FINAL_TRY),
        })
    }

    fn login(&self, pin: Option<&Secret>) -> Result<(), Failure> {
        self.login_as(ck::CKU_USER, pin)
    }

    fn shows(&self, uri: &Uri) -> Result<bool, Failure> {
        let id = uri.id.iter().map(|id| Wanted::bytes(ck::CKA_ID, id));
        let label = uri.object.iter().map(|label| Wanted::bytes(ck::CKA_LABEL, label));
        Ok(!self.find(id.chain(label).collect())?.is_empty())
    }

    fn private_keys(&self) -> Result<Vec<PrivateKey>, Failure> {
        let found = self.find(vec![Wanted::number(ck::CKA_CLASS, ck::CKO_PRIVATE_KEY)])?;
        let keys: Result<Vec<_>, Failure> =
            found.into_iter().map(|object| self.private_key(object)).collect();
        Ok(keys?.into_iter().flatten().collect())
    }

    fn public_key(&self, key: &PrivateKey) -> Result<Option<PublicKey>, Failure> {
        let same_id =
            |class| self.find(vec![Wanted::number(ck::CKA_CLASS, class), Wanted::bytes(ck::CKA_ID, &key.id)]);
        for object in same_id(ck::CKO_PUBLIC_KEY)? {
            if let Some(public) = self.public_part(object, key.algorithm)? {
                return Ok(Some(public));
            }
        }
        for object in same_id(ck::CKO_CERTIFICATE)? {
            if let Some(certificate) =
                self.attribute(object, ck::CKA_VALUE)?.filter(|value| !value.is_empty())
            {
                return Ok(Some(PublicKey::Certificate(certificate.to_vec())));
            }
        }
        // A private key of RSA mostly says its public part as well.
        self.public_part(key.handle, key.algorithm)
    }

    fn open(&self, key: &PrivateKey, sealed: &Sealed<'_>, pin: Option<&Secret>) -> Result<Secret, Failure> {
        match key.algorithm {
            Algorithm::Rsa => self.decrypt(key, sealed, pin),
            Algorithm::Ec => self.agree(key, sealed.data, pin),
        }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if let Some(close) = self.library.calls.C_CloseSession {
            // SAFETY: our own session, closed once.
            unsafe { close(self.handle) };
        }
    }
}

fn mechanism<T>(kind: ck::CK_MECHANISM_TYPE, parameters: Option<&mut T>) -> ck::CK_MECHANISM {
    let length = if parameters.is_some() { size_of::<T>() } else { 0 };
    ck::CK_MECHANISM {
        mechanism: kind,
        pParameter: parameters
            .map_or(std::ptr::null_mut(), |parameters| (&raw mut *parameters).cast::<c_void>()),
        ulParameterLen: length as ck::CK_ULONG,
    }
}

/// Parameters of OAEP, without a label; `None`: it is not OAEP.
fn oaep(padding: Padding) -> Option<ck::CK_RSA_PKCS_OAEP_PARAMS> {
    let (hash, mask) = match padding {
        Padding::Pkcs1 => return None,
        Padding::OaepSha1 => (ck::CKM_SHA_1, ck::CKG_MGF1_SHA1),
        Padding::OaepSha256 => (ck::CKM_SHA256, ck::CKG_MGF1_SHA256),
    };
    Some(ck::CK_RSA_PKCS_OAEP_PARAMS {
        hashAlg: hash,
        mgf: mask,
        source: ck::CKZ_DATA_SPECIFIED,
        pSourceData: std::ptr::null_mut(),
        ulSourceDataLen: 0,
    })
}
