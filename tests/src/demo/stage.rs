//! What stands behind the demo: namespaces, servers with different certificates, and culvert.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use gateway_tests::agent::Agent;
use gateway_tests::peers::tls::{Authority, Identity};
use gateway_tests::peers::{self, Server};
use gateway_tests::process::{Process, built};
use gateway_tests::topology::{self, Family, Topology};
use gateway_tests::wait;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio_rustls::TlsAcceptor;

/// Port that culvert listens on.
pub(crate) const PORT: u16 = 8443;

/// Which of the client's addresses the route of the web server denies.
pub(crate) const DENIED_CLIENT: u8 = 7;

/// Everything that runs; dropping it ends and removes all of it.
pub(crate) struct Stage {
    pub(crate) net: Topology,
    pub(crate) agent: Agent,
    files: TempDir,
    _servers: [Server; 2],
    _shop: Process,
}

impl Stage {
    /// Makes the namespaces, starts the servers and culvert, and waits until all are ready.
    pub(crate) async fn build() -> Result<Self> {
        let net = Topology::new(2)?;
        let authority = Authority::new()?;
        let files = tempfile::Builder::new().prefix("culvert-demo-").tempdir()?;
        fs::write(files.path().join("authority.pem"), authority.pem())?;
        let servers = [
            web(&net, &authority.issue(&["web.example.com"])?, Family::V4)?,
            web(&net, &authority.issue(&["api.example.com"])?, Family::V6)?,
        ];
        let shop = shop(&net, &authority.issue(&["*.shop.example.com"])?, &files).await?;
        let agent = Agent::start(&net.gateway, &configuration()).await?;
        Ok(Self {
            net,
            agent,
            files,
            _servers: servers,
            _shop: shop,
        })
    }

    /// The certificate that the clients trust.
    pub(crate) fn authority(&self) -> PathBuf {
        self.files.path().join("authority.pem")
    }

    /// Waits for culvert's next record after the first `known` ones.
    pub(crate) async fn next_record(&self, known: usize) -> Result<Value> {
        wait::until("culvert's record of the connection", || {
            let next = self
                .agent
                .access_log()
                .map(|log| log.into_iter().nth(known));
            async { next }
        })
        .await
    }

    /// Says how to explore what is up, and how to stop it.
    pub(crate) fn describe(&self) {
        let culvert = built("culvert").unwrap_or_else(|_missing| "culvert".into());
        let (culvert, socket) = (culvert.display(), self.agent.socket());
        let (socket, client) = (socket.display(), self.net.client.path());
        println!("\nAll of it stays up. In another terminal, as root:\n");
        for words in [
            "status",
            "routes",
            "explain web.example.com --from 10.1.0.2",
            "connections",
        ] {
            println!("  {culvert} {words} --socket {socket}");
        }
        println!("\nA client of your own, in the client's namespace:\n");
        println!(
            "  nsenter --net={client} curl --cacert {} \\",
            self.authority().display()
        );
        println!("    --resolve web.example.com:{PORT}:10.1.0.1 https://web.example.com:{PORT}/");
        println!(
            "\nThe configuration, watched for changes: {}",
            self.agent.config().display()
        );
    }
}

fn configuration() -> String {
    let [v4, v6] = Family::BOTH.map(|family| topology::gateway(family, PORT));
    let web = topology::server(Family::V4, 0, 443);
    let api = topology::server(Family::V6, 0, 443);
    let shop = topology::server(Family::V4, 1, 443);
    let denied = topology::client(Family::V4, DENIED_CLIENT);
    format!(
        r#"
listener "tls" {{ address = ["{v4}", "{v6}"] }}

route "web.example.com" {{
  endpoints = ["{web}"]
  deny      = ["{denied}"]
}}
route "api.example.com"    {{ endpoints = ["{api}"] }}
route "*.shop.example.com" {{ endpoints = ["{shop}"] }}

default {{ action = "reject" }}
"#
    )
}

/// An HTTPS server of the rig on the first server's host: answers any request with its name.
fn web(net: &Topology, identity: &Identity, family: Family) -> Result<Server> {
    let acceptor = TlsAcceptor::from(identity.server()?);
    let acceptor = Arc::new(acceptor);
    Server::start(
        &net.servers[0],
        topology::server(family, 0, 443),
        move |stream| {
            let acceptor = Arc::clone(&acceptor);
            async move {
                let mut stream = BufReader::new(acceptor.accept(stream).await?);
                let mut line = String::new();
                while stream.read_line(&mut line).await? > 2 {
                    line.clear();
                }
                stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello\n").await?;
                Ok(stream.shutdown().await?)
            }
        },
    )
}

/// OpenSSL's own server on the second server's host.
async fn shop(net: &Topology, identity: &Identity, files: &TempDir) -> Result<Process> {
    let (certificate, key) = identity.pem();
    let pem = files.path().join("shop.pem");
    fs::write(&pem, certificate + &key)?;
    let address = topology::server(Family::V4, 1, 443);
    let mut command = Command::new("openssl");
    command.args([
        "s_server",
        "-quiet",
        "-www",
        "-accept",
        &address.to_string(),
        "-cert",
    ]);
    command.arg(&pem).arg("-key").arg(&pem);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut server = Process::start(&net.servers[1], &mut command)?;
    wait::until("openssl s_server", || async {
        Ok(peers::connect(&net.gateway, address).await.ok())
    })
    .await
    .with_context(|| format!("openssl s_server did not listen: {:?}", server.ended()))?;
    Ok(server)
}
