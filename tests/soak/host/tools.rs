//! Tools that are there: a server of the Model Context Protocol, and one behind a socket. Both say what they were asked.

use std::sync::Arc;

use anyhow::{Result, bail};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use rmcp::handler::server::wrapper::Parameters;
use rmcp::{tool, tool_handler, tool_router};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tower::BoxError;

/// Longest question; nothing here asks for more.
const QUESTION_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
struct Question {
    text: String,
}

/// The tools `steady` and `search`.
#[derive(Clone, Debug)]
pub(crate) struct Echo;

#[tool_router]
impl Echo {
    #[tool(description = "Says the same.")]
    fn steady(&self, Parameters(Question { text }): Parameters<Question>) -> String {
        text
    }

    #[tool(description = "Says the same.")]
    fn search(&self, Parameters(Question { text }): Parameters<Question>) -> String {
        text
    }
}

#[tool_handler]
impl rmcp::ServerHandler for Echo {}

/// A connection to a server on loopback that says what it was asked.
#[derive(Clone, Debug)]
pub(crate) struct Line(Arc<Mutex<TcpStream>>);

impl Line {
    /// Starts the server, and connects.
    pub(crate) async fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let stream = TcpStream::connect(listener.local_addr()?).await?;
        let (mut far, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        far.set_nodelay(true)?;
        tokio::spawn(async move {
            while let Ok(question) = read(&mut far).await {
                if write(&mut far, &question).await.is_err() {
                    break;
                }
            }
        });
        Ok(Self(Arc::new(Mutex::new(stream))))
    }

    /// Asks.
    pub(crate) async fn ask(
        self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Full<Bytes>>, BoxError> {
        let (parts, body) = request.into_parts();
        let mut stream = self.0.lock().await;
        write(&mut stream, &body.collect().await?.to_bytes()).await?;
        let mut response = Response::new(Full::from(read(&mut stream).await?));
        response.headers_mut().extend(parts.headers);
        Ok(response)
    }
}

async fn write(stream: &mut TcpStream, text: &[u8]) -> Result<()> {
    let mut framed = u32::try_from(text.len())?.to_be_bytes().to_vec();
    framed.extend_from_slice(text);
    Ok(stream.write_all(&framed).await?)
}

async fn read(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let length = stream.read_u32().await? as usize;
    if length > QUESTION_BYTES_MAX {
        bail!("{length} bytes are no question");
    }
    let mut text = vec![0; length];
    stream.read_exact(&mut text).await?;
    Ok(text)
}
