//! How streams end: every FIN and every RST is passed on as what it is, after all that came before.
//!
//! Each test runs on every engine, as those in `splice.rs` do.

use std::io::ErrorKind;

use anyhow::Result;
use gateway_tests::engines::{ENGINES, Scene, on_each_engine};
use gateway_tests::peers::pair::Pair;
use gateway_tests::peers::transfer::{Pattern, receive_exact, transfer};
use gateway_tests::peers::{End, acknowledged, read_to_end, reset};
use gateway_tests::topology::Family;
use gateway_tests::{skip, wait};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn a_client_that_has_finished_still_hears_the_server() -> Result<()> {
    on_each_engine(|scene| async move {
        let mut pair = scene.pair(Family::V4).await?;
        pair.client.write_all(b"question").await?;
        pair.client.shutdown().await?;
        let mut question = Vec::new();
        assert_eq!(
            read_to_end(&mut pair.server, &mut question).await?,
            End::Fin
        );
        assert_eq!(question, b"question");
        let length = 3_000_001;
        transfer(pair.server, pair.client, Pattern { seed: 3, length }).await
    })
    .await
}

#[tokio::test]
async fn a_server_that_has_finished_still_hears_the_client() -> Result<()> {
    on_each_engine(|scene| async move {
        let mut pair = scene.pair(Family::V4).await?;
        pair.server.write_all(b"greeting").await?;
        pair.server.shutdown().await?;
        let mut greeting = Vec::new();
        assert_eq!(
            read_to_end(&mut pair.client, &mut greeting).await?,
            End::Fin
        );
        assert_eq!(greeting, b"greeting");
        let length = 3_000_001;
        transfer(pair.client, pair.server, Pattern { seed: 4, length }).await
    })
    .await
}

#[tokio::test]
async fn a_reset_by_either_side_is_a_reset_for_the_other() -> Result<()> {
    on_each_engine(|scene| async move {
        for client_resets in [true, false] {
            let mut pair = scene.pair(Family::V4).await?;
            pair.check().await?;
            let Pair { client, server } = pair;
            let (gone, mut left) = if client_resets {
                (client, server)
            } else {
                (server, client)
            };
            reset(gone)?;
            let end = wait::within("the end", read_to_end(&mut left, &mut Vec::new())).await??;
            assert_eq!(end, End::Reset, "client resets: {client_resets}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_was_sent_before_a_reset_arrives_before_it() -> Result<()> {
    on_each_engine(|scene| async move {
        for client_resets in [true, false] {
            let pair = scene.pair(Family::V4).await?;
            let Pair { client, server } = pair;
            let (mut going, mut left) = if client_resets {
                (client, server)
            } else {
                (server, client)
            };
            let pattern = Pattern {
                seed: 5,
                length: 200_000,
            };
            let sent = pattern.send(&mut going).await?;
            acknowledged(&going).await?;
            reset(going)?;
            let received = receive_exact(&mut left, sent.length).await?;
            assert_eq!(received, sent, "client resets: {client_resets}");
            let end = wait::within("the end", read_to_end(&mut left, &mut Vec::new())).await??;
            assert_eq!(end, End::Reset, "client resets: {client_resets}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_half_close_and_then_a_reset_is_a_reset() -> Result<()> {
    on_each_engine(|scene| async move {
        let mut pair = scene.pair(Family::V4).await?;
        pair.client.shutdown().await?;
        assert_eq!(
            read_to_end(&mut pair.server, &mut Vec::new()).await?,
            End::Fin
        );
        reset(pair.server)?;
        let end = wait::within("the end", read_to_end(&mut pair.client, &mut Vec::new())).await??;
        assert_eq!(end, End::Reset);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_idle_connection_ends_after_the_idle_timeout() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    for engine in ENGINES {
        let limits = "limits { idle_timeout = \"300ms\" }";
        let scene = Scene::new(engine, Family::V4, limits).await?;
        let mut pair = scene.pair(Family::V4).await?;
        pair.check().await?;
        let ended = wait::within("the end", pair.client.read(&mut [0; 1])).await?;
        let ended = ended.or_else(|error| match error.kind() {
            ErrorKind::ConnectionReset => Ok(0),
            _ => Err(error),
        })?;
        assert_eq!(ended, 0);
        assert!(scene.record().await?["reason"].to_string().contains("idle"));
    }
    Ok(())
}

#[tokio::test]
async fn a_half_closed_connection_ends_after_its_own_timeout() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    for engine in ENGINES {
        let limits = "limits { half_close_timeout = \"300ms\" }";
        let scene = Scene::new(engine, Family::V4, limits).await?;
        let mut pair = scene.pair(Family::V4).await?;
        pair.client.shutdown().await?;
        assert_eq!(
            read_to_end(&mut pair.server, &mut Vec::new()).await?,
            End::Fin
        );
        wait::within("the end", read_to_end(&mut pair.client, &mut Vec::new())).await??;
        assert!(
            scene.record().await?["reason"]
                .to_string()
                .contains("half_close")
        );
    }
    Ok(())
}
