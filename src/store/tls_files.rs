//! The folder `tls` beside the database: the account at an authority, and the certificate that it gave. Each file is for
//! its owner only, and is replaced in one step.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{
    Result,
    files::{self, at},
};

/// The name of the folder.
const FOLDER: &str = "tls";
/// Its mode.
const MODE: u32 = 0o700;

/// The folder.
#[derive(Debug, Clone)]
pub struct TlsFiles(PathBuf);

impl TlsFiles {
    /// The folder beside this database. It is made when the first file is written.
    pub fn beside(database: &Path) -> Self {
        Self(files::folder_of(database).join(FOLDER))
    }

    /// The path of a file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The content of a file; `None` if it is missing.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let path = self.path(name);
        files::expect_file(&path)?;
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(&path, &format!("cannot be read: {error}"))),
        }
    }

    /// Writes a file in the place of the former one.
    ///
    /// # Errors
    /// A folder or a disk that does not take it: the former file stays.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(name);
        files::make_folders(&self.0, MODE).map_err(|error| at(&self.0, &format!("cannot be made: {error}")))?;
        let part = files::beside(&path, ".part");
        files::clear(&part)?;
        let written = files::write_new(&part, bytes)?.sync_all().and_then(|()| fs::rename(&part, &path));
        written.map_err(|error| at(&path, &format!("cannot be written: {error}")))
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub fn remove(&self, name: &str) -> Result<()> {
        files::clear(&self.path(name))
    }
}
