//! Errors as MySQL's clients know them: a number, a class, and a sentence.

use tabvault_common::failure::Failure;
use tabvault_fe_coordinator::auth::users::MAX_NAME;
use tabvault_fe_coordinator::sql::SqlError;

/// An error of the protocol or of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// MySQL's number.
    pub(super) code: u16,
    /// The class in standard SQL: five characters.
    pub(super) sqlstate: &'static str,
    /// The sentence.
    pub(super) message: String,
}

impl Refusal {
    fn new(code: u16, sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self { code, sqlstate, message: message.into() }
    }

    pub(super) fn too_many_connections() -> Self {
        Self::new(1040, "08004", "Too many connections")
    }

    pub(super) fn bad_handshake() -> Self {
        Self::new(1043, "08S01", "Bad handshake")
    }

    /// `user` is what somebody says they are called, so only as much is repeated as a name may have.
    pub(super) fn access_denied(user: &str, host: &str, password: bool) -> Self {
        let user: String = user.chars().take(MAX_NAME).map(|c| if c.is_control() { '?' } else { c }).collect();
        let using = if password { "YES" } else { "NO" };
        Self::new(1045, "28000", format!("Access denied for user '{user}'@'{host}' (using password: {using})"))
    }

    pub(super) fn unknown_command() -> Self {
        Self::new(1047, "08S01", "Unknown command")
    }

    pub(super) fn shutdown() -> Self {
        Self::new(1053, "08S01", "Server shutdown in progress")
    }

    pub(super) fn empty() -> Self {
        Self::new(1065, "42000", "Query was empty")
    }

    pub(super) fn one_statement_at_a_time() -> Self {
        let message =
            "this packet holds several statements: send them one by one, or connect with CLIENT_MULTI_STATEMENTS";
        Self::new(1064, "42000", message)
    }

    pub(super) fn one_statement_to_prepare() -> Self {
        Self::new(1064, "42000", "this text holds several statements: prepare them one by one")
    }

    pub(super) fn unknown_connection(number: u64) -> Self {
        Self::new(1094, "HY000", format!("Unknown thread id: {number}"))
    }

    pub(super) fn not_your_connection(number: u64) -> Self {
        Self::new(1095, "HY000", format!("You are not owner of thread {number}"))
    }

    pub(super) fn packet_too_large() -> Self {
        Self::new(1153, "08S01", "Got a packet bigger than 'max_allowed_packet' bytes")
    }

    pub(super) fn out_of_order() -> Self {
        Self::new(1156, "08S01", "Got packets out of order")
    }

    pub(super) fn bad_arguments() -> Self {
        Self::new(1210, "HY000", "Incorrect arguments to mysqld_stmt_execute")
    }

    pub(super) fn unknown_statement(statement: u32) -> Self {
        let message = format!("Unknown prepared statement handler ({statement}) given to mysqld_stmt_execute");
        Self::new(1243, "HY000", message)
    }

    pub(super) fn not_utf8() -> Self {
        Self::new(1300, "HY000", "Invalid utf8mb4 character string: text is sent and answered in UTF-8")
    }

    pub(super) fn interrupted() -> Self {
        Self::new(1317, "70100", "Query execution was interrupted")
    }

    pub(super) fn too_many_parameters() -> Self {
        Self::new(1390, "HY000", "Prepared statement contains too many placeholders")
    }

    pub(super) fn too_many_statements(most: usize) -> Self {
        let message = format!("Can't create more than max_prepared_stmt_count statements (current value: {most})");
        Self::new(1461, "42000", message)
    }

    pub(super) fn insecure() -> Self {
        Self::new(3159, "HY000", "Connections using insecure transport are prohibited: connect with TLS")
    }

    pub(super) fn idle() -> Self {
        let message = "The client was disconnected by the server because of inactivity. See wait_timeout and \
                       interactive_timeout for configuring this behavior.";
        Self::new(4031, "HY000", message)
    }
}

impl From<SqlError> for Refusal {
    fn from(error: SqlError) -> Self {
        Self::new(error.code, error.sqlstate, error.to_string())
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        SqlError::from(failure).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_repeated_only_as_far_as_it_can_be_one() {
        let refusal = Refusal::access_denied(&format!("a\n{}", "é".repeat(1 << 16)), "h", true);
        let shown = format!("a?{}", "é".repeat(MAX_NAME - 2));
        assert_eq!(refusal.message, format!("Access denied for user '{shown}'@'h' (using password: YES)"));
    }
}
