//! Between generated messages and domain types.
