//! What can be asked of one leg without reading or writing it.

use std::io;

use tokio::io::Interest;
use tokio::net::TcpStream;

use super::close::CloseReason;

/// Waits until a socket has an error, whether anybody reads it or not; the error is taken.
pub(super) async fn broken(socket: &TcpStream) -> io::Error {
    loop {
        if let Err(error) = socket.ready(Interest::ERROR).await {
            return error;
        }
        match socket.take_error() {
            Ok(Some(error)) | Err(error) => return error,
            // Spurious: clear the mark, so that the next wait is for a new edge.
            Ok(None) => {
                let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
                socket.try_io(Interest::ERROR, nothing).unwrap_or_default();
            }
        }
    }
}

/// Waits until the client is gone for good. FIN alone is not that: it may only be done sending.
pub(super) async fn client_gone(client: &TcpStream) -> CloseReason {
    match broken(client).await.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => CloseReason::ClientReset,
        _ => CloseReason::ClientLost,
    }
}
