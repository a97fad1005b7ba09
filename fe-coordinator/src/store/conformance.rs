//! What every [`JobStore`] promises, as a suite to run over each.
