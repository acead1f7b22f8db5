//! Seams and what they can do.

use super::enumeration::Numbered;
use super::read::{Read, field, required, text, try_from_wire};
use super::v1;
use crate::vocabulary::limits::NAME_BYTES_MAX;
use crate::vocabulary::seam::{Capabilities, Seam};
use crate::vocabulary::violation::Check;

impl From<&Seam> for v1::Seam {
    fn from(seam: &Seam) -> Self {
        let Seam { name, point, shape, capabilities } = seam;
        Self {
            name: name.clone(),
            point: point.number(),
            shape: shape.number(),
            capabilities: Some((*capabilities).into()),
        }
    }
}

impl Read<v1::Seam> for Seam {
    fn read(check: &mut Check, wire: v1::Seam) -> Option<Self> {
        let v1::Seam { name, point, shape, capabilities } = wire;
        let name = text(check, "name", name, NAME_BYTES_MAX);
        let point = field(check, "point", point);
        let shape = field(check, "shape", shape);
        let capabilities = required(check, "capabilities", capabilities);
        Some(Self { name: name?, point: point?, shape: shape?, capabilities: capabilities? })
    }
}

impl From<Capabilities> for v1::Capabilities {
    fn from(capabilities: Capabilities) -> Self {
        let Capabilities {
            block,
            rewrite_in,
            rewrite_out,
            disconnect,
            structural,
            max_delay_ms,
            knows_trace,
            stable_request_id,
        } = capabilities;
        Self {
            block,
            rewrite_in,
            rewrite_out,
            disconnect,
            structural,
            max_delay_ms,
            knows_trace,
            stable_request_id,
        }
    }
}

impl Read<v1::Capabilities> for Capabilities {
    fn read(_: &mut Check, wire: v1::Capabilities) -> Option<Self> {
        let v1::Capabilities {
            block,
            rewrite_in,
            rewrite_out,
            disconnect,
            structural,
            max_delay_ms,
            knows_trace,
            stable_request_id,
        } = wire;
        Some(Self {
            block,
            rewrite_in,
            rewrite_out,
            disconnect,
            structural,
            max_delay_ms,
            knows_trace,
            stable_request_id,
        })
    }
}

try_from_wire!(Seam => Seam);
