//! A small file system that a story fills.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::support::program::finish;

/// A file system of two megabytes with a ballast file that a story can shorten. Unmounted when it is dropped.
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = ["-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs"];
        let (code, _, said) = finish(Command::new("mount").args(options).arg(folder.path()));
        assert_eq!(
            code, 0,
            "no small disk can be mounted here: run the suite as root, where mounting is allowed: {said}"
        );
        let disk = Self { folder };
        fs::write(disk.ballast(), vec![7; 1 << 20]).expect("room for the ballast");
        disk
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn ballast(&self) -> PathBuf {
        self.folder.path().join("ballast")
    }

    pub fn give_a_page(&self) {
        let ballast = fs::OpenOptions::new().write(true).open(self.ballast()).expect("the ballast");
        let size = ballast.metadata().expect("its size").len();
        ballast.set_len(size.checked_sub(4096).expect("some is left")).expect("cut");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let (code, _, said) = finish(Command::new("umount").arg("--lazy").arg(self.folder.path()));
        if code != 0 {
            eprintln!("{}: {said}", self.folder.path().display());
        }
    }
}
