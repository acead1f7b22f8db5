//! The catalogue is whole, and its patches fit the code as it is.

use squall_mutations::catalogue::Catalogue;
use squall_mutations::{root, survivors, tree};

#[test]
fn every_mutation_of_the_protocol_has_a_patch_that_fits() {
    let root = root().unwrap();
    for mutation in Catalogue::read().unwrap().mutations {
        tree::fits(&root, &mutation.patch().unwrap()).unwrap();
    }
}

#[test]
fn every_survivor_that_is_argued_stands_in_a_file_that_exists() {
    let root = root().unwrap();
    for survivor in survivors::argued().unwrap() {
        assert!(root.join(&survivor.file).is_file(), "{survivor:?}");
        assert!(!survivor.why.trim().is_empty(), "{survivor:?}");
    }
}
