//! `squall types`: the kinds of experiments, from the vocabulary.
