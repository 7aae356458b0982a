//! The keys that encrypt signing secrets at rest, and the file that holds them.
//!
//! The file has one line for each key, `<id> <64 hexadecimal digits>`. The first key is the current one; the others
//! open older secrets. Sealed bytes are `version | key id | nonce | ciphertext` (XChaCha20-Poly1305). The endpoint's id
//! is the associated data, so a secret that was moved to another row does not open.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard},
};

use chacha20poly1305::{
    Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use rusqlite::Connection;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{
    Result,
    files::{self, Stamp, at, folder_of},
};
use crate::{
    domain::{ids::EndpointId, signature::SigningSecret},
    error::Error,
};

/// The row that sealed bytes belong to: for an endpoint's, its id. They do not open in another row.
pub(super) type Owner = [u8; 16];

const VERSION: u8 = 1;
const NONCE: usize = 24;
const HEADER: usize = 2 + NONCE;
/// The longest line of the key file, in bytes.
const LINE: usize = "255 ".len() + 64 + "\n".len();

/// The keys, the current one first. Another process may rotate them: the file is read again when it has changed, and
/// its keys are taken if they open the secrets of the database.
pub struct KeyRing {
    path: PathBuf,
    keys: RwLock<Keys>,
    /// The last refused file (`None`: it was missing), and why.
    refused: Mutex<Option<(Option<Stamp>, Error)>>,
}

/// Bytes that are wiped when dropped. They are in a box because moving a value leaves its bytes behind.
type Wiped<const N: usize> = Box<Zeroizing<[u8; N]>>;

struct Keys {
    ring: Vec<(u8, Wiped<32>)>,
    /// The file from which they were read: a rotation replaces it.
    file: Stamp,
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
    /// A file that cannot be read, or that holds anything else.
    pub fn read(path: &Path) -> Result<Self> {
        Ok(Self::of(path, Keys::read(path)?))
    }

    /// Reads the key file of the database that holds these secrets.
    ///
    /// # Errors
    /// A file that is missing, cannot be used, or does not open them.
    pub(super) fn fitting(path: &Path, sealed: &Sealed) -> Result<Self> {
        Ok(Self::of(path, Keys::fitting(path, sealed)?))
    }

    fn of(path: &Path, keys: Keys) -> Self {
        Self { path: path.to_owned(), keys: RwLock::new(keys), refused: Mutex::default() }
    }

    /// Takes the text of a key file that was read before, with any mode.
    ///
    /// # Errors
    /// A text that holds anything else.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self> {
        Ok(Self::of(path, Keys::parse(path, text, file_of(path).unwrap_or_default())?))
    }

    /// Creates a key file with one new key, readable by its owner only. It is on disk when this returns.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        write_file(path, &[(0, random()?)])?;
        Self::read(path)
    }

    /// Encrypts a secret for the row of this endpoint of the database, with the current key.
    ///
    /// # Errors
    /// [`Error::Unavailable`] while the key file is missing or another one: the secret would not open after a restart.
    pub(super) fn seal(&self, conn: &Connection, endpoint: EndpointId, secret: &SigningSecret) -> Result<Vec<u8>> {
        self.seal_bytes(conn, endpoint.to_bytes(), secret.expose().as_bytes())
    }

    /// Encrypts bytes for the row of this owner, with the current key.
    ///
    /// # Errors
    /// As [`KeyRing::seal`].
    pub(super) fn seal_bytes(&self, conn: &Connection, owner: Owner, bytes: &[u8]) -> Result<Vec<u8>> {
        self.refresh(conn).map_err(|error| {
            tracing::error!(%error, "a signing secret cannot be stored");
            Error::Unavailable(
                "no signing secret can be stored now, because the server's key file is missing or is not the right one: \
                 nothing was stored; try again later"
                    .to_owned(),
            )
        })?;
        let keys = self.keys();
        let (id, key) = keys.ring.first().ok_or_else(|| unusable(&self.path, "it is empty"))?;
        let nonce = random::<NONCE>()?;
        let payload = Payload { msg: bytes, aad: &owner };
        let sealed = cipher(key)
            .encrypt(&XNonce::from(**nonce), payload)
            .map_err(|_| Error::Internal("a signing secret could not be encrypted".to_owned()))?;
        Ok([&[VERSION, *id][..], &**nonce, &sealed].concat())
    }

    /// Decrypts the secret of this endpoint's row in the database.
    pub(super) fn open(&self, conn: &Connection, endpoint: EndpointId, sealed: &[u8]) -> Result<SigningSecret> {
        let secret = self.opened(conn, endpoint.to_bytes(), sealed)?;
        let secret = secret.and_then(|secret| String::from_utf8(secret).ok());
        secret.map(SigningSecret::from_stored).ok_or_else(|| {
            Error::Internal(format!(
                "the signing secret of endpoint {endpoint} does not open: the key file is not the one it was sealed with"
            ))
        })
    }

    /// Decrypts bytes of the row of this owner in the database.
    pub(super) fn open_bytes(&self, conn: &Connection, owner: Owner, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let opened = self.opened(conn, owner, sealed)?.map(Zeroizing::new);
        opened.ok_or_else(|| {
            let reason = "sealed bytes do not open: the key file is not the one they were sealed with";
            Error::Internal(reason.to_owned())
        })
    }

    fn opened(&self, conn: &Connection, owner: Owner, sealed: &[u8]) -> Result<Option<Vec<u8>>> {
        let opened = self.keys().decrypt(owner, sealed);
        // An old key and a new key may have had the same number, if the old one was removed in between.
        if opened.is_none() && !self.is_current() {
            self.refresh(conn)?;
            return Ok(self.keys().decrypt(owner, sealed));
        }
        Ok(opened)
    }

    /// Decrypts the secret of this endpoint's row with the keys that are known: for a view that may be older than the
    /// key file. `None` if none of them opens it.
    pub(super) fn peek(&self, endpoint: EndpointId, sealed: &[u8]) -> Option<SigningSecret> {
        let secret = self.keys().decrypt(endpoint.to_bytes(), sealed)?;
        String::from_utf8(secret).ok().map(SigningSecret::from_stored)
    }

    /// The id of the current key.
    pub(super) fn current(&self) -> Option<u8> {
        self.keys().ring.first().map(|(id, _)| *id)
    }

    /// A mark of the current key, which does not reveal it.
    pub(super) fn mark(&self) -> Option<String> {
        self.keys().ring.first().map(|(_, key)| mark_of(key))
    }

    /// Whether the key with this mark is there.
    pub(super) fn has_mark(&self, mark: &str) -> bool {
        self.keys().ring.iter().any(|(_, key)| mark_of(key) == mark)
    }

    /// Adds a new key and makes it the current one; the others still open older secrets. Only within a write, whose
    /// lock keeps other processes away from the file.
    ///
    /// # Errors
    /// A file that cannot be written, or that holds 256 keys.
    pub(super) fn add(&self, conn: &Connection) -> Result<()> {
        self.refresh(conn)?;
        let mut ring = self.keys().ring.clone();
        let free = (0..=u8::MAX).find(|id| !ring.iter().any(|(held, _)| held == id));
        let id = free.ok_or_else(|| unusable(&self.path, "it holds 256 keys already"))?;
        ring.insert(0, (id, random()?));
        write_file(&self.path, &ring)?;
        self.refresh(conn)
    }

    /// Removes all keys but the current one.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn keep_current(&self, conn: &Connection) -> Result<()> {
        let ring: Vec<_> = self.keys().ring.iter().take(1).cloned().collect();
        write_file(&self.path, &ring)?;
        self.refresh(conn)
    }

    fn keys(&self) -> RwLockReadGuard<'_, Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self) -> MutexGuard<'_, Option<(Option<Stamp>, Error)>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the keys were read from the present file.
    pub(super) fn is_current(&self) -> bool {
        file_of(&self.path) == Some(self.keys().file)
    }

    /// Reads the file again if it has changed. Only within a write, or on a connection without an older view.
    ///
    /// # Errors
    /// A file that is missing, cannot be used, or does not open the secrets of the database. Then the keys stay as they
    /// were.
    pub(super) fn refresh(&self, conn: &Connection) -> Result<()> {
        while !self.is_current() {
            let file = file_of(&self.path);
            if let Some((_, why)) = self.refused().as_ref().filter(|(refused, _)| *refused == file) {
                return Err(why.clone());
            }
            match Keys::fitting(&self.path, &sealed(conn)?) {
                Ok(keys) => *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys,
                // The file was replaced meanwhile: a rotation may need a second read.
                Err(_) if file_of(&self.path) != file => {}
                Err(why) => *self.refused() = Some((file, why)),
            }
        }
        Ok(())
    }
}

/// The sealed secrets of a database.
pub(super) struct Sealed {
    /// Their number.
    pub(super) count: usize,
    /// For each key one secret that it sealed, with its endpoint.
    samples: BTreeMap<u8, ([u8; 16], Vec<u8>)>,
}

/// The statement that reads each sealed secret, with the id of its endpoint, or of the place for an account's notices.
/// Deleted endpoints have none, and in an old schema accounts have none.
pub(super) fn select_sealed(conn: &Connection) -> rusqlite::Result<String> {
    let mut select = "SELECT id, secret FROM endpoint WHERE secret != x''
        UNION ALL SELECT id, former_secret FROM endpoint WHERE former_secret IS NOT NULL"
        .to_owned();
    if conn.column_exists(None, "account", "alerts_secret")? {
        select += " UNION ALL SELECT alerts_id, alerts_secret FROM account WHERE alerts_secret IS NOT NULL";
    }
    Ok(select)
}

/// The sealed secrets of this database.
pub(super) fn sealed(conn: &Connection) -> rusqlite::Result<Sealed> {
    let mut rows = conn.prepare(&select_sealed(conn)?)?;
    let rows = rows.query_map([], |row| Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
    let mut sealed = Sealed { count: 0, samples: BTreeMap::new() };
    for row in rows {
        let (id, secret) = row?;
        sealed.count += 1;
        sealed.samples.entry(key_of(&secret).unwrap_or(0)).or_insert((id, secret));
    }
    Ok(sealed)
}

impl Keys {
    fn read(path: &Path) -> Result<Self> {
        files::expect_file(path)?;
        let file = file_of(path).unwrap_or_default();
        let text = fs::read_to_string(path).map(Zeroizing::new).map_err(|error| unusable(path, &error.to_string()))?;
        if let Some(wide) = files::open_to_others(path) {
            return Err(unusable(path, &wide));
        }
        Self::parse(path, &text, file)
    }

    fn parse(path: &Path, text: &str, file: Stamp) -> Result<Self> {
        // Some editors begin a file with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let wrong = || unusable(path, "a line is not '<id 0-255> <64 hexadecimal digits>'");
        let ring = lines.map(|line| parse_key(line).ok_or_else(wrong)).collect::<Result<Vec<_>>>()?;
        if ring.is_empty() {
            return Err(unusable(path, "it is empty"));
        }
        Ok(Self { ring, file })
    }

    /// The keys of the file, each tested on a secret that it sealed.
    fn fitting(path: &Path, sealed: &Sealed) -> Result<Self> {
        if !path.exists() {
            return Err(at(
                path,
                &format!(
                    "is missing, and {} signing secrets cannot be read without it: restore it from the backup made with this database",
                    sealed.count
                ),
            ));
        }
        let keys = Self::read(path)?;
        for (key, (endpoint, secret)) in &sealed.samples {
            if keys.decrypt(*endpoint, secret).map(Zeroizing::new).is_none() {
                return Err(at(
                    path,
                    &format!(
                        "is not the key file of this database (key {key} does not open its secrets): restore the one from the backup made with it"
                    ),
                ));
            }
        }
        Ok(keys)
    }

    fn decrypt(&self, owner: Owner, sealed: &[u8]) -> Option<Vec<u8>> {
        let (header, ciphertext) = sealed.split_at_checked(HEADER).filter(|(header, _)| header[0] == VERSION)?;
        let nonce = <[u8; NONCE]>::try_from(&header[2..]).ok()?;
        let (_, key) = self.ring.iter().find(|(id, _)| *id == header[1])?;
        let payload = Payload { msg: ciphertext, aad: &owner };
        cipher(key).decrypt(&XNonce::from(nonce), payload).ok()
    }
}

/// The id of the key that sealed these bytes.
pub(super) fn key_of(sealed: &[u8]) -> Option<u8> {
    sealed.get(1).copied()
}

/// The first bytes of the key's SHA-256, in hexadecimal digits.
fn mark_of(key: &[u8; 32]) -> String {
    HEXLOWER.encode(&Sha256::digest(key)[..8])
}

fn cipher(key: &[u8; 32]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(<&Key>::from(key))
}

fn file_of(path: &Path) -> Option<Stamp> {
    fs::metadata(path).ok().as_ref().map(files::stamp)
}

/// Writes the keys to a new file and puts it in the place of the old one, with the same owner and mode: all or nothing,
/// and on disk. Only under the write lock of the database: two writers at once would remove each other's new file.
fn write_file(path: &Path, ring: &[(u8, Wiped<32>)]) -> Result<()> {
    // The full capacity at once: a text that grows leaves a copy behind.
    let mut text = Zeroizing::new(String::with_capacity(ring.len() * LINE));
    for (id, key) in ring {
        text.push_str(&format!("{id} "));
        HEXLOWER.encode_append(&***key, &mut text);
        text.push('\n');
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let write = || -> io::Result<()> {
        // A file that a crash or somebody else left there is not written into.
        fs::remove_file(&beside)
            .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
        let mut file = files::make(&beside)?;
        if let Ok(replaced) = fs::metadata(path) {
            files::keep(&file, &replaced)?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        fs::File::open(folder_of(path))?.sync_all()
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&beside);
        unusable(path, &error.to_string())
    })
}

fn parse_key(line: &str) -> Option<(u8, Wiped<32>)> {
    let (id, digits) = line.trim().split_once(' ')?;
    let mut key = Wiped::default();
    if digits.len() != 2 * key.len() {
        return None;
    }
    HEXLOWER_PERMISSIVE.decode_mut(digits.as_bytes(), &mut **key).ok()?;
    Some((id.parse().ok()?, key))
}

fn unusable(path: &Path, problem: &str) -> Error {
    Error::Internal(format!("the key file {} cannot be used: {problem}", path.display()))
}

/// Random bytes from the operating system.
///
/// # Errors
/// When the system has none.
pub fn random<const N: usize>() -> Result<Wiped<N>> {
    let mut bytes = Wiped::new(Zeroizing::new([0; N]));
    getrandom::fill(&mut **bytes).map_err(|error| Error::Internal(format!("no random bytes: {error}")))?;
    Ok(bytes)
}
