//! What every [`super::Catalog`] promises, as a suite to run over each.
