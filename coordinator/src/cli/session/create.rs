//! `squall session create`: checks a session file and sends it.

use std::io::Read;
use std::path::{Path, PathBuf};

use squall_proto::vocabulary::blast_radius::BlastRadius;
use squall_proto::vocabulary::id::{SessionId, TenantId};
use squall_proto::vocabulary::limits::SPEC_BYTES_MAX;
use squall_proto::wire::v1::{CreateSessionRequest, Session, SessionSpec};

use crate::cli::Global;
use crate::cli::client::request;
use crate::cli::failure::{Exit, Failure};
use crate::cli::name::{self, Once};
use crate::cli::words::list;
use crate::session_file::SessionFile;

/// Names of tenants that fit into a line.
const NAMES_SHOWN: usize = 4;
/// Stands for standard input.
const STDIN: &str = "-";

/// Creates a session from a file, and prints its name
///
/// The file is YAML or JSON (schema: deploy/session.schema.json). Everything that is wrong with it is named at once, and
/// then nothing is sent. The session is a draft until it is started; a draft that nobody starts is closed after 24 h.
///
/// The session is the tenant's that the file names. If --tenant, or SQUALL_TENANT without it, names another one, nothing
/// is sent; with neither, the file has to name one.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  squall session create -f deploy/examples/first.yaml
  squall session create -f first.yaml --tenant acme --id try-2
  generate-session | squall session create -f -
  name=$(squall session create -f first.yaml) && squall session start \"$name\"")]
pub(in crate::cli) struct Args {
    /// The session file; `-` reads standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Id of the session, a token [A-Za-z0-9_-]{1,64}; default: the file's, else a new one
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    once: Once,
}

impl Args {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let request_id = self.once.id()?;
        let message =
            CreateSessionRequest { request_id: request_id.clone(), ..self.message(global)? };
        let created = global.client()?.sessions.create_session(request(message)).await;
        let session =
            created.map_err(|status| Failure::of_change(&status, &request_id))?.into_inner();
        let screen = global.screen();
        for idle in idle(&session) {
            screen.note(&idle);
        }
        screen.answer(&session, |session, _| session.name.clone())
    }

    fn message(&self, global: &Global) -> Result<CreateSessionRequest, Failure> {
        let id = self.id.as_deref().map(str::parse::<SessionId>).transpose();
        let id = id.map_err(|problem| Failure::argument("--id", problem))?;
        let file = SessionFile::parse(&read(&self.file)?);
        let file = file.map_err(|violations| Failure::bad(shown(&self.file), violations))?;
        let spec = SessionSpec::try_from(&file.draft);
        let spec = spec.map_err(|violations| Failure::bad(shown(&self.file), violations))?;
        let id = id.or_else(|| file.session_id.clone());
        Ok(CreateSessionRequest {
            parent: format!("tenants/{}", tenant(&file, global)?),
            session_id: id.map(String::from).unwrap_or_default(),
            spec: Some(spec),
            request_id: String::new(),
        })
    }
}

/// What can't affect any call, though it is allowed.
fn idle(session: &Session) -> Vec<String> {
    let Some(SessionSpec { experiments, target, .. }) = &session.spec else { return Vec::new() };
    let is_never = |share: Option<f64>| share == Some(0.0);
    let never = experiments.iter().filter(|experiment| is_never(experiment.probability));
    let mut idle: Vec<_> = never
        .map(|never| {
            format!("note: experiment {} has probability 0 and affects no call", never.name())
        })
        .collect();
    if target.as_ref().is_some_and(|target| is_never(target.percentage)) {
        idle.push("note: target.percentage is 0: the session affects no call".to_owned());
    }
    idle
}

/// Whose session it is. A session over several tenants is nobody's own.
fn tenant(file: &SessionFile, global: &Global) -> Result<TenantId, Failure> {
    let given = global.tenant_and_source().filter(|(tenant, _)| *tenant != TenantId::EVERY);
    let given = match given {
        Some((tenant, source)) => Some((name::tenant(tenant)?, source)),
        None => None,
    };
    if let Some((given, source)) = &given {
        agree(file, given, source)?;
    }
    match (&file.tenant, given) {
        _ if is_shared(file) => Ok(TenantId::fleet()),
        (Some(tenant), _) => Ok(tenant.clone()),
        (None, Some((given, _))) => Ok(given),
        (None, None) => {
            Err(Failure::argument("--tenant", "is missing, and the file names no tenant").next(
                "write `tenant: TENANT` into the file, add --tenant TENANT, or set SQUALL_TENANT",
            ))
        }
    }
}

/// Chaos at another tenant than meant is the worst that a slip can do: two words that differ are no order.
fn agree(file: &SessionFile, given: &TenantId, source: &str) -> Result<(), Failure> {
    let tenants: Vec<TenantId> = match &file.tenant {
        _ if is_shared(file) => {
            file.spec.target.tenants.iter().cloned().chain([TenantId::fleet()]).collect()
        }
        Some(tenant) => vec![tenant.clone()],
        None => return Ok(()),
    };
    if tenants.contains(given) {
        return Ok(());
    }
    let tenants: Vec<_> = tenants.iter().map(ToString::to_string).collect();
    let named = list(&tenants, NAMES_SHOWN);
    let problem = format!("is {given}, but the session file is for {named}");
    Err(Failure::argument(source, problem).next(format!(
        "--tenant {} creates it as the file says; for {given}, change the file",
        tenants[0]
    )))
}

fn is_shared(file: &SessionFile) -> bool {
    file.spec.safety.blast_radius == BlastRadius::MultiTenant
}

/// The file's text, or a little more than a session file may have.
fn read(path: &Path) -> Result<String, Failure> {
    let limit = u64::try_from(SPEC_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = String::new();
    let read = if path == Path::new(STDIN) {
        std::io::stdin().lock().take(limit).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text))
    };
    match read {
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::new(Exit::BadInput, format!("read {}: {error}", shown(path)))),
    }
}

fn shown(path: &Path) -> String {
    if path == Path::new(STDIN) { "standard input".to_owned() } else { path.display().to_string() }
}
