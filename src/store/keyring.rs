//! The keys that encrypt signing secrets at rest, and the file that holds them.
//!
//! The file has one line a key, `<id> <64 hexadecimal digits>`; the first is the current one, the others open what was
//! sealed before. Sealed bytes are `version | key id | nonce | ciphertext` (XChaCha20-Poly1305); the endpoint's id is the
//! associated data, so that a secret moved to another row does not open.

use std::{
    fmt, fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use chacha20poly1305::{
    Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use zeroize::Zeroizing;

use crate::{
    domain::{ids::EndpointId, signature::SigningSecret},
    error::{Error, Result},
};

const VERSION: u8 = 1;
const NONCE: usize = 24;
const HEADER: usize = 2 + NONCE;

/// The keys, the current one first.
pub struct KeyRing {
    keys: Vec<(u8, XChaCha20Poly1305)>,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, _)| id)).finish()
    }
}

impl KeyRing {
    /// Reads the key file.
    ///
    /// # Errors
    /// A file that cannot be read, or that holds anything but keys.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map(Zeroizing::new).map_err(|error| unusable(path, &error.to_string()))?;
        let keys = text.lines().filter(|line| !line.trim().is_empty()).map(|line| {
            parse_key(line).ok_or_else(|| unusable(path, "a line is not '<id 0-255> <64 hexadecimal digits>'"))
        });
        let keys = keys.collect::<Result<Vec<_>>>()?;
        if keys.is_empty() {
            return Err(unusable(path, "it is empty"));
        }
        Ok(Self { keys })
    }

    /// Makes a key file with one new key, readable by its owner only, on disk before this returns.
    ///
    /// # Errors
    /// A file that cannot be written, or that is there already.
    pub fn create(path: &Path) -> Result<Self> {
        let key = Zeroizing::new(random::<32>()?);
        let mut line = Zeroizing::new(String::from("0 "));
        for byte in key.iter() {
            line.push_str(&format!("{byte:02x}"));
        }
        line.push('\n');
        let write = || -> io::Result<()> {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(line.as_bytes())?;
            file.sync_all()?;
            fs::File::open(folder_of(path))?.sync_all()
        };
        write().map_err(|error| unusable(path, &error.to_string()))?;
        Self::read(path)
    }

    /// Whether a key of this id is held.
    pub(super) fn has(&self, id: u8) -> bool {
        self.keys.iter().any(|(held, _)| *held == id)
    }

    /// Encrypts a secret for the row of this endpoint.
    pub(super) fn seal(&self, endpoint: EndpointId, secret: &SigningSecret) -> Result<Vec<u8>> {
        let (id, cipher) = self.keys.first().ok_or_else(|| Error::Internal("no encryption key".to_owned()))?;
        let nonce = random::<NONCE>()?;
        let payload = Payload { msg: secret.expose().as_bytes(), aad: &endpoint.to_bytes() };
        let sealed = cipher
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| Error::Internal("a signing secret could not be encrypted".to_owned()))?;
        Ok([&[VERSION, *id][..], &nonce, &sealed].concat())
    }

    /// Decrypts the secret of this endpoint's row.
    pub(super) fn open(&self, endpoint: EndpointId, sealed: &[u8]) -> Result<SigningSecret> {
        let wrong = || {
            Error::Internal(format!(
                "the signing secret of endpoint {endpoint} does not open: the key file is not the one it was sealed with"
            ))
        };
        let (header, ciphertext) = sealed.split_at_checked(HEADER).ok_or_else(wrong)?;
        let nonce = <[u8; NONCE]>::try_from(&header[2..]).map_err(|_| wrong())?;
        let cipher = self.keys.iter().find(|(id, _)| header[0] == VERSION && *id == header[1]).ok_or_else(wrong)?;
        let payload = Payload { msg: ciphertext, aad: &endpoint.to_bytes() };
        let secret = cipher.1.decrypt(&XNonce::from(nonce), payload).map_err(|_| wrong())?;
        SigningSecret::parse(String::from_utf8(secret).map_err(|_| wrong())?)
    }
}

fn parse_key(line: &str) -> Option<(u8, XChaCha20Poly1305)> {
    let (id, digits) = line.trim().split_once(' ')?;
    let mut key = Zeroizing::new([0; 32]);
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    for (place, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * place..2 * place + 2], 16).ok()?;
    }
    Some((id.parse().ok()?, XChaCha20Poly1305::new(&Key::from(*key))))
}

fn unusable(path: &Path, problem: &str) -> Error {
    Error::Internal(format!("the key file {} cannot be used: {problem}", path.display()))
}

/// Random bytes from the operating system.
///
/// # Errors
/// When it has none.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::Internal(format!("no random bytes: {error}")))?;
    Ok(bytes)
}

/// The folder that a file is in.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}
