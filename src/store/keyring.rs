//! The keys that encrypt signing secrets at rest, and the file that holds them.
//!
//! The file has one line a key, `<id> <64 hexadecimal digits>`; the first is the current one, the others open what was
//! sealed before. Sealed bytes are `version | key id | nonce | ciphertext` (XChaCha20-Poly1305); the endpoint's id is the
//! associated data, so that a secret moved to another row does not open.

use std::{
    fmt, fs,
    io::{self, ErrorKind, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock, RwLockReadGuard},
};

use chacha20poly1305::{
    Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use zeroize::Zeroizing;

use super::files::{self, folder_of};
use crate::{
    domain::{ids::EndpointId, signature::SigningSecret},
    error::{Error, Result},
};

const VERSION: u8 = 1;
const NONCE: usize = 24;
const HEADER: usize = 2 + NONCE;
/// Bytes of a line of the key file, at most.
const LINE: usize = "255 ".len() + 64 + "\n".len();

/// The keys, the current one first. Another process may rotate them meanwhile: the file is read again when it has changed.
pub struct KeyRing {
    path: PathBuf,
    keys: RwLock<Keys>,
}

/// Bytes that are wiped when they go; in a box, because a value that moves leaves its bytes behind.
type Wiped<const N: usize> = Box<Zeroizing<[u8; N]>>;

struct Keys {
    ring: Vec<(u8, Wiped<32>)>,
    /// Which file they were read from: a rotation replaces it.
    file: FileStamp,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("path", &self.path).finish_non_exhaustive()
    }
}

impl KeyRing {
    /// Reads the key file.
    ///
    /// # Errors
    /// A file that cannot be read, or that holds anything but keys.
    pub fn read(path: &Path) -> Result<Self> {
        Ok(Self { path: path.to_owned(), keys: RwLock::new(Keys::read(path)?) })
    }

    /// Takes the text of a key file that was read before, whoever may read the file.
    ///
    /// # Errors
    /// A text that holds anything but keys.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self> {
        let keys = Keys::parse(path, text, file_of(path).unwrap_or_default())?;
        Ok(Self { path: path.to_owned(), keys: RwLock::new(keys) })
    }

    /// Makes a key file with one new key, readable by its owner only, on disk before this returns.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        write_file(path, &[(0, random()?)])?;
        Self::read(path)
    }

    /// Whether a key of this id is held.
    pub(super) fn has(&self, id: u8) -> bool {
        self.keys().ring.iter().any(|(held, _)| *held == id)
    }

    /// Encrypts a secret for the row of this endpoint, with the current key.
    pub(super) fn seal(&self, endpoint: EndpointId, secret: &SigningSecret) -> Result<Vec<u8>> {
        if file_of(&self.path) != Some(self.keys().file) {
            self.reload()?;
        }
        let keys = self.keys();
        let (id, key) = keys.ring.first().ok_or_else(|| unusable(&self.path, "it is empty"))?;
        let nonce = random::<NONCE>()?;
        let payload = Payload { msg: secret.expose().as_bytes(), aad: &endpoint.to_bytes() };
        let sealed = cipher(key)
            .encrypt(&XNonce::from(**nonce), payload)
            .map_err(|_| Error::Internal("a signing secret could not be encrypted".to_owned()))?;
        Ok([&[VERSION, *id][..], &**nonce, &sealed].concat())
    }

    /// Decrypts the secret of this endpoint's row.
    pub(super) fn open(&self, endpoint: EndpointId, sealed: &[u8]) -> Result<SigningSecret> {
        let mut secret = self.decrypt(endpoint, sealed);
        // By its number alone an old key cannot be told from the new one that took the number after it was forgotten.
        if secret.is_none() && file_of(&self.path) != Some(self.keys().file) {
            self.reload()?;
            secret = self.decrypt(endpoint, sealed);
        }
        let secret = secret.and_then(|secret| String::from_utf8(secret).ok());
        secret.map(SigningSecret::from_stored).ok_or_else(|| {
            Error::Internal(format!(
                "the signing secret of endpoint {endpoint} does not open: the key file is not the one it was sealed with"
            ))
        })
    }

    fn decrypt(&self, endpoint: EndpointId, sealed: &[u8]) -> Option<Vec<u8>> {
        let (header, ciphertext) = sealed.split_at_checked(HEADER).filter(|(header, _)| header[0] == VERSION)?;
        let nonce = <[u8; NONCE]>::try_from(&header[2..]).ok()?;
        let keys = self.keys();
        let (_, key) = keys.ring.iter().find(|(id, _)| *id == header[1])?;
        let payload = Payload { msg: ciphertext, aad: &endpoint.to_bytes() };
        cipher(key).decrypt(&XNonce::from(nonce), payload).ok()
    }

    /// The id of the key that seals.
    pub(super) fn current(&self) -> Option<u8> {
        self.keys().ring.first().map(|(id, _)| *id)
    }

    /// Adds a new key and makes it the current one; the others still open what they sealed. Only within a write: its lock
    /// keeps other processes from the file.
    ///
    /// # Errors
    /// A file that cannot be written, or 256 keys.
    pub(super) fn add(&self) -> Result<()> {
        self.reload()?;
        let mut ring = self.keys().ring.clone();
        let free = (0..=u8::MAX).find(|id| !ring.iter().any(|(held, _)| held == id));
        let id = free.ok_or_else(|| unusable(&self.path, "it holds 256 keys already"))?;
        ring.insert(0, (id, random()?));
        write_file(&self.path, &ring)?;
        self.reload()
    }

    /// Forgets every key but the current one.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn keep_current(&self) -> Result<()> {
        let ring: Vec<_> = self.keys().ring.iter().take(1).cloned().collect();
        write_file(&self.path, &ring)?;
        self.reload()
    }

    fn keys(&self) -> RwLockReadGuard<'_, Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the file again.
    pub(super) fn reload(&self) -> Result<()> {
        let keys = Keys::read(&self.path)?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }
}

impl Keys {
    fn read(path: &Path) -> Result<Self> {
        let file = file_of(path).unwrap_or_default();
        let text = fs::read_to_string(path).map(Zeroizing::new).map_err(|error| unusable(path, &error.to_string()))?;
        if let Some(wide) = files::open_to_others(path) {
            return Err(unusable(path, &wide));
        }
        Self::parse(path, &text, file)
    }

    fn parse(path: &Path, text: &str, file: FileStamp) -> Result<Self> {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let wrong = || unusable(path, "a line is not '<id 0-255> <64 hexadecimal digits>'");
        let ring = lines.map(|line| parse_key(line).ok_or_else(wrong)).collect::<Result<Vec<_>>>()?;
        if ring.is_empty() {
            return Err(unusable(path, "it is empty"));
        }
        Ok(Self { ring, file })
    }
}

/// The id of the key that sealed this.
pub(super) fn key_of(sealed: &[u8]) -> Option<u8> {
    sealed.get(1).copied()
}

fn cipher(key: &[u8; 32]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(<&Key>::from(key))
}

/// Tells a file from the one that replaced it: inode, length, and when it was written, in seconds and nanoseconds.
type FileStamp = (u64, u64, i64, i64);

fn file_of(path: &Path) -> Option<FileStamp> {
    fs::metadata(path).ok().map(|file| (file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
}

/// Writes the keys to a new file beside, and puts it in the place of the old one: all or nothing, and on disk. Only for
/// whoever has the write lock of the database: two at the same time would take each other's new file away.
fn write_file(path: &Path, ring: &[(u8, Wiped<32>)]) -> Result<()> {
    // All the room at once: a text that grows leaves a copy behind.
    let mut text = Zeroizing::new(String::with_capacity(ring.len() * LINE));
    for (id, key) in ring {
        text.push_str(&format!("{id} "));
        for byte in key.iter() {
            text.extend([byte >> 4, byte & 15].into_iter().filter_map(|digit| char::from_digit(digit.into(), 16)));
        }
        text.push('\n');
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let write = || -> io::Result<()> {
        // What a crash left there, or somebody else put there, is not written into.
        fs::remove_file(&beside)
            .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        fs::File::open(folder_of(path))?.sync_all()
    };
    write().map_err(|error| unusable(path, &error.to_string()))
}

fn parse_key(line: &str) -> Option<(u8, Wiped<32>)> {
    let (id, digits) = line.trim().split_once(' ')?;
    let mut key = Wiped::default();
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    for (place, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * place..2 * place + 2], 16).ok()?;
    }
    Some((id.parse().ok()?, key))
}

fn unusable(path: &Path, problem: &str) -> Error {
    Error::Internal(format!("the key file {} cannot be used: {problem}", path.display()))
}

/// Random bytes from the operating system.
///
/// # Errors
/// When it has none.
pub fn random<const N: usize>() -> Result<Wiped<N>> {
    let mut bytes = Wiped::new(Zeroizing::new([0; N]));
    getrandom::fill(&mut **bytes).map_err(|error| Error::Internal(format!("no random bytes: {error}")))?;
    Ok(bytes)
}
