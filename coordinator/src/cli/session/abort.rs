//! `squall session abort`: aborts, waits for the proof, and prints it.
