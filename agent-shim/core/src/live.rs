//! One session as it lives in this process.

use squall_proto::vocabulary::id::SessionKey;
use squall_proto::vocabulary::session::SessionSpec;

use crate::demand::Demand;
use crate::wallet::Wallet;

/// A session that this process takes part in: the specification, its permits, its demand.
#[derive(Debug)]
pub struct Live {}

impl Live {
    /// The session.
    #[must_use]
    pub fn key(&self) -> &SessionKey {
        todo!()
    }

    /// What it does.
    #[must_use]
    pub fn spec(&self) -> &SessionSpec {
        todo!()
    }

    /// Its permits.
    #[must_use]
    pub fn wallet(&self) -> &Wallet {
        todo!()
    }

    /// What its chosen requests wanted and did not have.
    #[must_use]
    pub fn demand(&self) -> &Demand {
        todo!()
    }
}
