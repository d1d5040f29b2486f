//! One request to the agent over its admin socket.

use core::time::Duration;
use std::io;
use std::path::{Path, PathBuf};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::Failure;
use crate::ops::view::Refusal;

/// The slowest answer is that of a reload, which may wait for endpoint names to resolve.
const PATIENCE: Duration = Duration::from_secs(30);

/// Talks to one agent.
#[derive(Debug, Clone)]
pub(super) struct Client {
    socket: PathBuf,
}

/// An answer that came.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: String,
}

impl Client {
    /// For the agent that listens at `socket`; nothing is opened yet.
    pub(super) fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    /// Asks with GET. `query` is percent-encoded here.
    pub(super) fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Reply, Failure> {
        let mut target = path.to_owned();
        for (n, (key, value)) in query.iter().enumerate() {
            target.push(if n == 0 { '?' } else { '&' });
            target.push_str(&format!("{key}={}", encoded(value)));
        }
        self.request(Method::GET, &target, "")
    }

    /// Asks for a change with POST.
    pub(super) fn post(&self, path: &str, body: &str) -> Result<Reply, Failure> {
        self.request(Method::POST, path, body)
    }

    /// Asks for a change with PUT.
    pub(super) fn put(&self, path: &str, body: &str) -> Result<Reply, Failure> {
        self.request(Method::PUT, path, body)
    }

    fn request(&self, method: Method, target: &str, body: &str) -> Result<Reply, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, "culvert")
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .map_err(|error| Failure::Usage(format!("cannot ask for {target}: {error}")))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| self.unreachable(&error))?;
        runtime.block_on(async {
            match tokio::time::timeout(PATIENCE, self.exchange(request)).await {
                Ok(reply) => reply,
                Err(_) => Err(self.broken("it does not answer")),
            }
        })
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Reply, Failure> {
        let stream = UnixStream::connect(&self.socket).await;
        let stream = stream.map_err(|error| self.unreachable(&error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken(error))?;
        let exchange = async move {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            // The sender drops here, which ends the connection.
            Ok::<_, hyper::Error>((status, body))
        };
        let (answer, connection) = tokio::join!(exchange, connection);
        let (status, body) = answer
            .and_then(|answer| connection.map(|()| answer))
            .map_err(|error| self.broken(error))?;
        let body = String::from_utf8(body.into()).map_err(|error| self.broken(error))?;
        Ok(Reply { status, body })
    }

    fn unreachable(&self, error: &io::Error) -> Failure {
        let remedy = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                "is it running? name another with --instance or --socket"
            }
            io::ErrorKind::PermissionDenied => "run as root or as a member of the socket's group",
            _ => "name another with --instance or --socket",
        };
        let socket = self.socket.display();
        Failure::Unreachable(format!(
            "cannot reach the agent at {socket}: {error}: {remedy}"
        ))
    }

    fn broken(&self, what: impl core::fmt::Display) -> Failure {
        Failure::Unreachable(format!(
            "the agent at {} answers wrongly: {what}",
            self.socket.display()
        ))
    }
}

impl Reply {
    /// The reply if it is a success, else the refusal as a failure: the answer is no.
    pub(super) fn success(self) -> Result<Self, Failure> {
        if self.status.is_success() {
            return Ok(self);
        }
        let text = serde_json::from_str::<Refusal>(&self.body).map(|refusal| refusal.error);
        let text = text.unwrap_or_else(|_| format!("the agent answers {}", self.status));
        Err(match self.status {
            StatusCode::BAD_REQUEST => Failure::Usage(text),
            _ => Failure::No(text),
        })
    }

    /// The body as the type that the agent wrote.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.body).map_err(|error| {
            Failure::Unreachable(format!(
                "cannot read the agent's answer: {error}: is it of another version?"
            ))
        })
    }
}

/// Percent-encodes everything but what RFC 3986 section 2.3 reserves for nobody.
fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_cannot_smuggle_another_parameter() {
        assert_eq!(encoded("a.b-c&from=1 \u{e9}"), "a.b-c%26from%3D1%20%C3%A9");
    }

    #[test]
    fn no_agent_is_unreachable_and_says_what_to_do() {
        let failure = Client::new(Path::new("/nonexistent/culvert.sock")).get("/status", &[]);
        let Err(Failure::Unreachable(text)) = failure else {
            panic!("{failure:?}")
        };
        assert!(text.contains("is it running?"), "{text}");
    }
}
