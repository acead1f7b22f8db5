//! Ctrl-C while a command waits for something that happens without it.

/// Waits for Ctrl-C. From then on it no longer ends the program by itself. Where it can't be heard, it still does.
pub(super) async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
