//! `demo-peer`: an agent that is itself an MCP server over stdio. Other agents delegate to its one tool `ask`.

mod analysis;

use anyhow::Result;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::transport::stdio;
use rmcp::{ServiceExt, tool, tool_handler, tool_router};
use rustix::process::{Signal, set_parent_process_death_signal};

use analysis::{Question, find};

/// What `ask` takes.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
struct Ask {
    /// `busiest_files` or `who_is_at_work`.
    question: String,
    /// What to look at: diffs, or lines of a place and an hour.
    text: String,
}

#[derive(Clone, Debug)]
struct Peer;

#[tool_router]
impl Peer {
    /// Works a question out.
    #[tool(
        description = "Answers a question about the text; the answer is JSON with `summary` and `rows`."
    )]
    fn ask(&self, Parameters(Ask { question, text }): Parameters<Ask>) -> Result<String, String> {
        let question: Question = serde_json::from_value(question.into())
            .map_err(|_| "I can answer busiest_files and who_is_at_work.".to_owned())?;
        serde_json::to_string(&find(question, &text)).map_err(|error| error.to_string())
    }
}

#[tool_handler]
impl rmcp::ServerHandler for Peer {}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Peer.serve(stdio()).await?.waiting().await?;
    Ok(())
}
