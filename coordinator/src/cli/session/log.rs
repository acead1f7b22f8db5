//! `squall session log`: the events of a session.
