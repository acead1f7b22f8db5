//! `squall session create`: checks a session file and sends it.

use std::io::Read;
use std::path::{Path, PathBuf};

use squall_proto::vocabulary::blast_radius::BlastRadius;
use squall_proto::vocabulary::id::{SessionId, TenantId};
use squall_proto::vocabulary::limits::SPEC_BYTES_MAX;
use squall_proto::vocabulary::violation::{Check, Violations};
use squall_proto::wire::v1::{CreateSessionRequest, Session, SessionSpec};

use crate::cli::Global;
use crate::cli::client::request;
use crate::cli::failure::{COMMAND_LINE, Failure};
use crate::cli::name::Once;
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
        let message = self.message(global)?;
        let request_id = message.request_id.clone();
        let created = global.client()?.sessions.create_session(request(message)).await;
        let session =
            created.map_err(|status| Failure::of_change(&status, &request_id))?.into_inner();
        let screen = global.screen();
        for idle in idle(&session) {
            screen.note(&idle);
        }
        screen.answer(&session, |session, _| session.name.clone())
    }

    /// Options and file are both read before anything is refused.
    fn message(&self, global: &Global) -> Result<CreateSessionRequest, Failure> {
        let (line, file) = self.read(global);
        let (line, (file, spec)) = match (line, file) {
            (Ok(line), Ok(file)) => (line, file),
            (line, file) => {
                let line = line.err().unwrap_or_default();
                return Err(self.wrong(line, file.err().unwrap_or_default()));
            }
        };
        let id = line.id.or_else(|| file.session_id.clone());
        Ok(CreateSessionRequest {
            parent: format!("tenants/{}", tenant(&file, line.tenant)?),
            session_id: id.map(String::from).unwrap_or_default(),
            spec: Some(spec),
            request_id: line.request_id,
        })
    }

    /// What the options say, and what the file says. A file that can't be read is a wrong option.
    fn read(&self, global: &Global) -> (Result<Line, Violations>, Result<Written, Violations>) {
        let mut check = Check::new();
        let id = check.field("--id", |check| match self.id.as_deref() {
            None => Some(None),
            Some(id) => check.value(id.parse::<SessionId>()).map(Some),
        });
        let request_id = self.once.checked(&mut check);
        let tenant = given_tenant(&mut check, global);
        let text = check.field("--file", |check| check.value(read(&self.file)));
        let file = text.as_deref().map(SessionFile::parse).unwrap_or(Err(Violations::default()));
        let file = file.and_then(|file| {
            let spec = SessionSpec::try_from(&file.draft)?;
            Ok((file, spec))
        });
        let line = id.zip(request_id).zip(tenant).filter(|_| text.is_some());
        let line = line.map(|((id, request_id), tenant)| Line { id, request_id, tenant });
        (check.finish(line), file)
    }

    fn wrong(&self, line: Violations, file: Violations) -> Failure {
        let shown = shown(&self.file);
        let what = match (line.0.is_empty(), file.0.is_empty()) {
            (true, _) => shown,
            (false, true) => COMMAND_LINE.to_owned(),
            (false, false) => format!("{COMMAND_LINE} and {shown}"),
        };
        Failure::bad(what, Violations(line.0.into_iter().chain(file.0).collect()))
    }
}

/// What the options say.
struct Line {
    id: Option<SessionId>,
    request_id: String,
    tenant: Option<(TenantId, &'static str)>,
}

/// The file, and what of it is sent.
type Written = (SessionFile, SessionSpec);

/// The tenant that is named outside the file, if one is, and where.
#[expect(clippy::option_option, reason = "absent and wrong are different things")]
fn given_tenant(check: &mut Check, global: &Global) -> Option<Option<(TenantId, &'static str)>> {
    let given = global.tenant_and_source().filter(|(tenant, _)| *tenant != TenantId::EVERY);
    let Some((tenant, source)) = given else { return Some(None) };
    let tenant = check.field(source, |check| check.value(tenant.parse::<TenantId>()));
    tenant.map(|tenant| Some((tenant, source)))
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
fn tenant(
    file: &SessionFile,
    given: Option<(TenantId, &'static str)>,
) -> Result<TenantId, Failure> {
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
fn read(path: &Path) -> Result<String, String> {
    let limit = u64::try_from(SPEC_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = String::new();
    let read = if path == Path::new(STDIN) {
        std::io::stdin().lock().take(limit).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text))
    };
    read.map(|_| text).map_err(|error| format!("can't be read: {}: {error}", shown(path)))
}

fn shown(path: &Path) -> String {
    if path == Path::new(STDIN) { "standard input".to_owned() } else { path.display().to_string() }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use squall_proto::vocabulary::violation::Violation;

    use super::*;

    #[derive(clap::Parser)]
    struct Words {
        #[command(flatten)]
        global: Global,
        #[command(flatten)]
        args: Args,
    }

    /// What is wrong with the options.
    fn wrong(file: &str) -> Vec<String> {
        let options = ["--tenant", "b.c", "--id", "a b", "--request-id", "c d"];
        let words = ["squall", "--file", file].into_iter().chain(options);
        let Words { global, args } = Words::parse_from(words);
        let failure = args.message(&global).expect_err("was accepted").to_string();
        let (line, file) = args.read(&global);
        let found = [line.err(), file.err()].into_iter().flatten().flat_map(|found| found.0);
        std::iter::once(failure).chain(found.map(|Violation { field, .. }| field)).collect()
    }

    #[test]
    fn everything_that_is_wrong_with_the_options_and_the_file_is_named_at_once() {
        // Not a session file.
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let wrong = wrong(file);
        assert!(wrong[0].starts_with("the command line and /"), "{wrong:?}");
        assert_eq!(wrong[1..4], ["--id", "--request-id", "--tenant"]);
        assert!(wrong.len() > 4, "{wrong:?}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_beside_the_other_options() {
        let wrong = wrong("no/such/file");
        assert_eq!(
            wrong,
            ["the command line: 4 things are wrong", "--id", "--request-id", "--tenant", "--file"]
        );
    }
}
