//! Sessions of openssl that are taken up again, with early data in the first flight.

use std::fs;

use anyhow::{Result, ensure};
use gateway_tests::wait;

use super::converse::Conversation;
use super::options::{CHANGING, client};
use super::{Visit, same_lines, steady, tells};

/// Words of the server that its buffer may release in the middle of early data, which is not buffered.
const EARLY_WORDS: [&str; 3] = [
    "Early data received:\n",
    "shutting down SSL\n",
    "CONNECTION CLOSED\n",
];

/// A session is made and taken up again; so is, through the agent, one that was made without it.
pub(super) async fn resumed(visits: [Visit<'_>; 2], (version, more): (&str, &str)) -> Result<()> {
    let what = format!("a session of TLS {version} {more}");
    let dotted = version.replace('_', ".");
    let tls = format!("-tls{version}");
    let mut options = vec![tls.as_str(), "-ign_eof"];
    options.extend((!more.is_empty()).then_some(more));
    let mut said = Vec::new();
    for visit in visits {
        let session = visit.own("session");
        let mut texts = String::new();
        for (option, session, words) in [
            ("-sess_out", session.clone(), "New"),
            ("-sess_in", session, "Reused"),
            ("-sess_in", "direct-session".to_owned(), "Reused"),
        ] {
            let mut command = client(visit, &options);
            command.args([option, &session]);
            let said = visit.run(command, Some("request")).await?;
            let words = format!("{words}, TLSv{dotted}");
            tells(
                &what,
                &said,
                &[&words, "Verify return code: 0 (ok)", "HTTP/1.0 200 ok"],
            )?;
            texts += &said;
        }
        said.push(steady(&texts, CHANGING));
    }
    same_lines(&what, &said[0], &said[1])
}

/// Early data arrives whole and is accepted, and the keys are changed twice in the connection.
pub(super) async fn early_data(visits: [Visit<'_>; 2], server: &mut Conversation) -> Result<()> {
    let early = super::read(&visits[0].stage.file("early"))?;
    let mut said = Vec::new();
    for visit in visits {
        let session = visit.own("session");
        fs::write(visit.stage.file(&session), "")?;
        let first = client(visit, &["-tls1_3", "-sess_out", &session]);
        let first = Conversation::visit(visit, first)?;
        // The session comes after the handshake, at the server's leisure.
        let path = visit.stage.file(&session);
        let comes = wait::until("a session", || async {
            let length = fs::metadata(&path)?.len();
            Ok((length > 0).then_some(()))
        });
        comes.await?;
        let (first, _status) = first.end().await?;
        tells("the first connection", &first, &["Early data was not sent"])?;
        let begin = server.length()?;
        let mut second = client(
            visit,
            &["-tls1_3", "-sess_in", &session, "-early_data", "early"],
        );
        second.arg("-state");
        let mut second = Conversation::visit(visit, second)?;
        second.hear("Early data was accepted", 1).await?;
        for (update, keys) in [(1, "K\n"), (2, "k\n")] {
            second.say(keys)?;
            second.hear("KEYUPDATE", update).await?;
            second.exchange(server, update).await?;
        }
        let (second, status) = second.end().await?;
        tells(
            "early data",
            &second,
            &["Reused, TLSv1.3", "Verify return code: 0 (ok)"],
        )?;
        let mut got = String::from_utf8_lossy(&server.since(begin)?).into_owned();
        ensure!(got.contains(EARLY_WORDS[0]), "no early data came");
        for words in EARLY_WORDS {
            got = got.replace(words, "");
        }
        ensure!(
            got.contains(&early),
            "the early data arrived otherwise at {}, through: {}",
            visit.name(),
            visit.through
        );
        said.push(steady(&format!("{first}\n{second}\n{status}"), CHANGING));
    }
    same_lines("early data", &said[0], &said[1])
}
