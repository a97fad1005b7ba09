//! Users and privileges.

use super::Printer;
use crate::auth::Privilege;
use crate::sql::statement::{Grant, User, UserStatement};

impl Printer {
    pub(super) fn user_statement(&mut self, statement: &UserStatement) {
        match statement {
            UserStatement::Create { user, if_not_exists, password } => {
                self.put("CREATE USER ");
                self.if_not_exists(*if_not_exists);
                self.user(user);
                if let Some(password) = password {
                    self.put(" IDENTIFIED BY ");
                    self.secret(password);
                }
            }
            UserStatement::Alter { user, password } => {
                self.put("ALTER USER ");
                self.user(user);
                self.put(" IDENTIFIED BY ");
                self.secret(password);
            }
            UserStatement::SetPassword { user, password } => {
                self.put("SET PASSWORD");
                if let Some(user) = user {
                    self.put(" FOR ");
                    self.user(user);
                }
                self.put(" = PASSWORD(");
                self.secret(password);
                self.put(")");
            }
            UserStatement::Drop { user, if_exists } => {
                self.put("DROP USER ");
                self.if_exists(*if_exists);
                self.user(user);
            }
            UserStatement::Grant(grant) => self.grant("GRANT ", grant, " TO "),
            UserStatement::Revoke(grant) => self.grant("REVOKE ", grant, " FROM "),
        }
    }

    pub(super) fn user(&mut self, user: &User) {
        self.text(&user.name);
        if let Some(host) = &user.host {
            self.put("@");
            self.text(host);
        }
    }

    fn grant(&mut self, verb: &str, grant: &Grant, preposition: &str) {
        self.put(verb);
        match &grant.privilege {
            Privilege::Admin => self.put("ADMIN_PRIV ON *.*"),
            Privilege::Load(database) => {
                self.clause("LOAD_PRIV ON ", Some(database));
                self.put(".*");
            }
        }
        self.put(preposition);
        self.user(&grant.user);
    }
}
