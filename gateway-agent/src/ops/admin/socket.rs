//! The admin socket's file: made whole before it is seen, never taken from somebody who lives,
//! removed only if it is still ours.

use std::fs::{File, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::{fmt, fs};

/// Owner and group may talk to the agent: whoever may connect may drain it.
const MODE: u32 = 0o660;

/// A listening admin socket. Its file goes when this drops.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    file: SocketFile,
}

/// The file of a listening socket, removed on drop if it is still the same one.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode of what was made.
    identity: (u64, u64),
    /// Held while the agent lives: two agents of one instance never both start.
    _lock: File,
}

/// Why there is no admin socket.
#[derive(Debug)]
pub enum SocketError {
    /// Another agent holds the instance.
    Held(PathBuf),
    /// Something that is no agent's answers on the socket.
    Answered(PathBuf),
    /// A file that is no socket is in the way.
    NotASocket(PathBuf),
    /// A system call failed: what was tried, on which file.
    Io(&'static str, PathBuf, io::Error),
}

impl AdminSocket {
    /// Listens at `path`, in place of the socket of a dead agent. The directory is made if it is
    /// missing.
    ///
    /// # Errors
    /// See [`SocketError`].
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
            fs::create_dir_all(directory).map_err(failed("make the directory", directory))?;
        }
        let lock = lock(path)?;
        check_vacant(path)?;
        // Made aside and renamed: nobody ever meets the socket with other permissions, and a
        // stale one is replaced in one step.
        let aside = beside(path, "new");
        remove(&aside).map_err(failed("remove", &aside))?;
        let listener = UnixListener::bind(&aside).map_err(failed("bind", &aside))?;
        listener
            .set_nonblocking(true)
            .map_err(failed("set up", &aside))?;
        fs::set_permissions(&aside, Permissions::from_mode(MODE))
            .map_err(failed("set the mode of", &aside))?;
        let identity = identity(&aside).map_err(failed("look at", &aside))?;
        fs::rename(&aside, path).map_err(failed("rename to", path))?;
        let file = SocketFile {
            path: path.to_owned(),
            identity,
            _lock: lock,
        };
        Ok(Self { listener, file })
    }

    pub(super) fn into_parts(self) -> (UnixListener, SocketFile) {
        (self.listener, self.file)
    }
}

/// Takes the lock file beside the socket. It stays there afterwards: removing it would let two
/// agents hold two files of one name.
fn lock(path: &Path) -> Result<File, SocketError> {
    let at = beside(path, "lock");
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&at)
        .map_err(failed("open the lock", &at))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SocketError::Held(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(SocketError::Io("lock", at, error)),
    }
}

/// With the lock held no agent listens at `path`, but the path may have been given wrongly.
fn check_vacant(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at", path)(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(SocketError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(SocketError::Answered(path.to_owned())),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::ConnectionRefused | ErrorKind::NotFound
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(failed("probe", path)(error)),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SocketError {
    let path = path.to_owned();
    move |error| SocketError::Io(what, path, error)
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity)
            && let Err(error) = remove(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the admin socket");
        }
    }
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(path) => write!(
                f,
                "admin socket {}: another agent of this instance is running: stop it, or give \
                 this one another `instance` or `admin.socket`",
                path.display()
            ),
            Self::Answered(path) => write!(
                f,
                "admin socket {}: another program listens there: set `admin.socket` to a path of \
                 culvert's own",
                path.display()
            ),
            Self::NotASocket(path) => write!(
                f,
                "admin socket {}: a file that is no socket is in the way: remove it, or set \
                 `admin.socket` to another path",
                path.display()
            ),
            Self::Io(what, path, error) => {
                write!(f, "admin socket: cannot {what} {}: {error}", path.display())?;
                match error.kind() {
                    ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => f.write_str(
                        ": run as a user who may write there, or set `admin.socket` to another path",
                    ),
                    _ => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for SocketError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, _, error) => Some(error),
            Self::Held(_) | Self::Answered(_) | Self::NotASocket(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_agents_socket_is_replaced_with_mode_0660() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/culvert.sock");
        fs::create_dir(path.parent().unwrap()).unwrap();
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "the stale file is there");
        let socket = AdminSocket::bind(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o660
        );
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_second_agent_is_refused_and_leaves_the_first_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("missing/culvert.sock");
        let _first = AdminSocket::bind(&path).unwrap();
        let error = AdminSocket::bind(&path).unwrap_err();
        assert!(matches!(error, SocketError::Held(_)), "{error}");
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn what_is_not_ours_is_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let (foreign, file) = (
            directory.path().join("foreign"),
            directory.path().join("file"),
        );
        let _listener = UnixListener::bind(&foreign).unwrap();
        fs::write(&file, "precious").unwrap();
        assert!(matches!(
            AdminSocket::bind(&foreign),
            Err(SocketError::Answered(_))
        ));
        assert!(matches!(
            AdminSocket::bind(&file),
            Err(SocketError::NotASocket(_))
        ));
        assert_eq!(fs::read(&file).unwrap(), b"precious");
    }

    #[test]
    fn a_successors_socket_outlives_us() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("culvert.sock");
        let ours = AdminSocket::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let _theirs = UnixListener::bind(&path).unwrap();
        drop(ours);
        assert!(path.exists());
    }
}
