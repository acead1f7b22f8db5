//! `squall serve`: the coordinator and its doors, on a NATS that is there.
