//! `squall halt ...`: the commands of the lever, one file each.
