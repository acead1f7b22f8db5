//! The doors, one file for each kind.

mod call;
mod cast;
mod engine;
mod link;
mod mcp;
mod rewrite;
mod stored;
mod text;
mod wire;

use crate::{Door, Room};

/// A door whose memory is that of the messages that it reads.
///
/// Protobuf's emptiest item of a list is two bytes, and becomes a struct of some hundred before its list is found to be
/// too long; with a growing list's copy that makes 1,024 for each byte. A message has 512 KiB at most.
const fn message(name: &'static str, about: &'static str, knock: fn(&[u8])) -> Door {
    Door { name, about, knock, room: Room { base: 64 * 1024, each: 1024 }, longest: 4096 }
}

/// All of them.
pub const DOORS: &[Door] = &[
    message("request", "what a shim asks the coordinator", wire::request),
    message("reply", "what the coordinator answers a shim", wire::reply),
    message("command", "what the coordinator tells shims", wire::command),
    message("evidence", "what a shim reports", wire::evidence),
    message("specification", "a session in a call of a client", wire::specification),
    Door {
        // As for messages; and the answer names what is wrong several times.
        name: "call",
        about: "what a client asks by gRPC",
        knock: call::client,
        room: Room { base: 256 * 1024, each: 2048 },
        longest: 4096,
    },
    message("record", "a session's record in the log", stored::record),
    message("lever", "a lever's record in the log", stored::lever),
    message("snapshot", "the fold of the log that a start begins with", stored::snapshot),
    Door {
        name: "journal",
        about: "the file that a dead process left behind",
        knock: stored::journal,
        room: Room { base: 128 * 1024, each: 16 },
        longest: 2048,
    },
    Door {
        name: "subject",
        about: "the subject of a message, and what identifiers hold",
        knock: text::subject,
        room: Room { base: 16 * 1024, each: 256 },
        longest: 256,
    },
    Door {
        name: "settings",
        about: "what the owner of a process lets happen in it",
        knock: text::settings,
        room: Room { base: 16 * 1024, each: 256 },
        longest: 512,
    },
    Door {
        // An alias of YAML repeats what it stands for: 100,000 values at most, whatever the length of the file.
        name: "file",
        about: "a session file, YAML or JSON",
        knock: text::file,
        room: Room { base: 128 * 1024 * 1024, each: 4096 },
        longest: 4096,
    },
    Door {
        // A document, its tree, what is made of it, and all of it in pieces.
        name: "rewrite",
        about: "what a tool or model is given and returns, where a fault changes it",
        knock: rewrite::contents,
        room: Room { base: 64 * 1024, each: 1024 },
        longest: 2048,
    },
    Door {
        name: "render",
        about: "the request that a fault answers",
        knock: rewrite::answers,
        room: Room { base: 64 * 1024, each: 1024 },
        longest: 1024,
    },
    Door {
        name: "mcp",
        about: "messages of a client and a server of tools, with faults between them",
        knock: mcp::frames,
        room: Room { base: 4 * 1024 * 1024, each: 4096 },
        longest: 2048,
    },
    Door {
        name: "link",
        about: "whatever a shim hears, in any order",
        knock: link::hear,
        room: Room { base: 16 * 1024 * 1024, each: 16 * 1024 },
        longest: 1024,
    },
    Door {
        name: "engine",
        about: "whatever a replica hears and reads, in any order",
        knock: engine::hear,
        room: Room { base: 16 * 1024 * 1024, each: 64 * 1024 },
        longest: 1024,
    },
];
