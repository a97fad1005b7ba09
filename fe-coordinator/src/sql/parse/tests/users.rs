//! Users and privileges.

use tabvault_common::secret::Secret;

use super::{become_these, s, some};
use crate::auth::Privilege;
use crate::sql::statement::{Grant, Show, Statement, User, UserStatement};

#[test]
fn users_and_what_they_may() {
    let user = |name: &str| User { name: s(name), host: None };
    let anywhere = |name: &str| User { name: s(name), host: some("%") };
    let password = || Secret::new("pw");
    let create =
        |user, if_not_exists, password| Statement::User(UserStatement::Create { user, if_not_exists, password });
    let set = |user| Statement::User(UserStatement::SetPassword { user, password: password() });
    let granted = |privilege, user| Grant { privilege, user };
    let load = || Privilege::Load(s("db"));
    become_these(vec![
        ("CREATE USER 'u' IDENTIFIED BY 'pw'", create(user("u"), false, Some(password()))),
        ("CREATE USER IF NOT EXISTS 'u'@'%' IDENTIFIED BY \"pw\"", create(anywhere("u"), true, Some(password()))),
        ("CREATE USER u@%", create(anywhere("u"), false, None)),
        ("CREATE USER ''@localhost", create(User { name: s(""), host: some("localhost") }, false, None)),
        ("SET PASSWORD = PASSWORD('pw')", set(None)),
        ("SET PASSWORD FOR CURRENT_USER() = 'pw'", set(None)),
        ("SET PASSWORD FOR 'u'@'%' = PASSWORD('pw')", set(Some(anywhere("u")))),
        ("SET PASSWORD FOR 'current_user' = 'pw'", set(Some(user("current_user")))),
        (
            "ALTER USER u IDENTIFIED BY 'pw'",
            Statement::User(UserStatement::Alter { user: user("u"), password: password() }),
        ),
        (
            "GRANT ADMIN_PRIV ON *.* TO 'u'@'%'",
            Statement::User(UserStatement::Grant(granted(Privilege::Admin, anywhere("u")))),
        ),
        ("grant load_priv on db.* to u", Statement::User(UserStatement::Grant(granted(load(), user("u"))))),
        ("REVOKE LOAD_PRIV ON `db`.* FROM 'u'", Statement::User(UserStatement::Revoke(granted(load(), user("u"))))),
        ("DROP USER IF EXISTS 'u'", Statement::User(UserStatement::Drop { user: user("u"), if_exists: true })),
        ("SHOW GRANTS", Statement::Show(Show::Grants(None))),
        ("SHOW GRANTS FOR CURRENT_USER", Statement::Show(Show::Grants(None))),
        ("SHOW GRANTS FOR 'u'", Statement::Show(Show::Grants(Some(user("u"))))),
    ]);
}
