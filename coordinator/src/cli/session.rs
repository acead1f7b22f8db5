//! `squall session ...`: the commands of chaos sessions, one file each.
