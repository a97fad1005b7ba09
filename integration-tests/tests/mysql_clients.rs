//! Real MySQL clients against the real program: what users of Doris and StarRocks have on their machines.

#![allow(clippy::panic, reason = "a test that cannot go on panics")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tabvault_integration_tests::binary::program;

/// The password of `root`: nothing in it may be lost on the way.
const PASSWORD: &str = "of root, 'in' \"tests\" \\ $";

/// A coordinator with TLS, a database `shop`, and a user `ann` who has no privilege.
struct Server {
    process: Child,
    dir: tempfile::TempDir,
    port: String,
    http: String,
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("make a directory");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("sign");
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        write(&cert, &made.cert.pem());
        write(&key, &made.signing_key.serialize_pem());
        let mut command = Command::new(program());
        let free = "127.0.0.1:0";
        command.args(["--log", "error", "fe", "--grpc", free, "--mysql", free, "--http", free, "--data"]);
        command.arg(dir.path().join("fe")).arg("--tls-cert").arg(cert).arg("--tls-key").arg(key);
        command.env("TABVAULT_ROOT_PASSWORD", PASSWORD).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("start tabvault");
        let mut said = String::new();
        BufReader::new(process.stdout.take().expect("its stdout is ours")).read_line(&mut said).expect("read");
        let port = |name: &str| {
            let address = said.split(name).nth(1).and_then(|rest| rest.split([',', '\n']).next());
            address.unwrap_or_else(|| panic!("{command:?} is not ready: {said}")).to_owned()
        };
        let mysql = port("MySQL ");
        let mysql = mysql.rsplit(':').next().expect("a port").to_owned();
        let server = Self { process, port: mysql, http: port("HTTP "), dir };
        server.mariadb("root", PASSWORD, "CREATE DATABASE shop; CREATE USER 'ann' IDENTIFIED BY 'secret'").said();
        server
    }

    fn cert(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    /// Runs `sql` with the `mariadb` client, as `mysql -e` is used in scripts.
    fn mariadb(&self, user: &str, password: &str, sql: &str) -> Ran {
        self.mariadb_with(user, password, &[], sql)
    }

    fn mariadb_with(&self, user: &str, password: &str, args: &[&str], sql: &str) -> Ran {
        let output = self.mariadb_command(user, password).args(args).args(["-e", sql]).output();
        Ran(output.unwrap_or_else(|error| panic!("{MARIADB_MISSING} ({error})")))
    }

    fn mariadb_command(&self, user: &str, password: &str) -> Command {
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "-h", "127.0.0.1", "-P", &self.port, "-u", user, "--batch"]);
        command.env("MYSQL_PWD", password);
        command
    }

    /// Runs a script that asserts; it has `connection`, the keyword arguments of every Python client, and `CA`.
    fn python(&self, imports: &str, script: &str) {
        let missing = Command::new("python3").args(["-c", imports]).output().expect("run python3");
        assert!(
            missing.status.success(),
            "a client is missing: pip install pymysql mysql-connector-python SQLAlchemy\n{}",
            String::from_utf8_lossy(&missing.stderr)
        );
        let begin = "import os\n\
             connection = dict(host='127.0.0.1', port=int(os.environ['PORT']), user='root', password=os.environ['PASSWORD'])\n\
             CA = os.environ['CA']\n\
             def refused(code, work):\n    \
                 try:\n        work()\n    \
                 except Exception as error:\n        \
                     number = getattr(error, 'errno', None) or error.args[0]\n        \
                     assert number == code, (code, number, error)\n        return str(error)\n    \
                 raise AssertionError(f'{code} is not raised')\n";
        let output = Command::new("python3")
            .args(["-W", "error::ResourceWarning", "-c", &format!("{imports}\n{begin}{script}")])
            .envs([("PORT", self.port.as_str()), ("PASSWORD", PASSWORD)])
            .env("CA", self.cert())
            .output()
            .expect("run python3");
        Ran(output).said();
    }

    /// Waits until a metric is `value`.
    fn await_metric(&self, metric: &str, value: &str) {
        let script = "import os, ssl, sys, time, urllib.request\n\
             url, line, end = os.environ['URL'], os.environ['LINE'], time.monotonic() + 30\n\
             trust = ssl.create_default_context(cafile=os.environ['CA'])\n\
             while True:\n    \
                 said = urllib.request.urlopen(url, context=trust).read().decode()\n    \
                 if line in said.splitlines():\n        break\n    \
                 if time.monotonic() > end:\n        sys.exit(f'no `{line}` in {said}')\n    \
                 time.sleep(0.05)\n";
        let mut command = Command::new("python3");
        command.args(["-c", script]).env("CA", self.cert()).env("URL", format!("https://{}/metrics", self.http));
        command.env("LINE", format!("{metric} {value}"));
        Ran(command.output().expect("run python3")).said();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Errors mean that it has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const MARIADB_MISSING: &str = "the client mariadb is missing: apt-get install mariadb-client";

/// What a client did.
struct Ran(Output);

impl Ran {
    fn said(self) -> String {
        let complained = String::from_utf8_lossy(&self.0.stderr);
        let said = String::from_utf8_lossy(&self.0.stdout);
        assert!(self.0.status.success(), "{}\n{said}\n{complained}", self.0.status);
        said.into_owned()
    }

    fn refused(self) -> String {
        let said = String::from_utf8_lossy(&self.0.stdout);
        assert!(!self.0.status.success(), "it is not refused: {said}");
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }
}

fn write(path: &Path, text: &str) {
    let mut file = std::fs::File::create_new(path).expect("make a file");
    file.write_all(text.as_bytes()).expect("write a file");
}

#[test]
fn the_mariadb_client_logs_in_and_asks() {
    let server = Server::start();
    assert_eq!(server.mariadb("root", PASSWORD, "SHOW DATABASES").said(), "Database\nshop\n");
    let said = server.mariadb("root", PASSWORD, "USE shop; SELECT DATABASE(); SHOW BACKUP; SHOW TABLES").said();
    assert_eq!(said, "DATABASE()\nshop\n", "empty results have no head in batch mode");
    let said = server.mariadb_with("root", PASSWORD, &["-D", "shop"], "select database()").said();
    assert!(said.ends_with("\nshop\n"), "{said}");
    let commands =
        "SHOW REPOSITORIES; SHOW BACKENDS; SHOW BROKER; SHOW RESTORE FROM shop; SHOW BACKUP FROM shop; HELP 'BACKUP'";
    let said = server.mariadb("root", PASSWORD, commands).said();
    assert!(said.contains("BACKUP SNAPSHOT"), "{said}");
}

#[test]
fn the_mariadb_client_hears_why_it_is_refused() {
    let server = Server::start();
    for (user, password, using) in [("root", "wrong", "YES"), ("nobody", "wrong", "YES"), ("root", "", "NO")] {
        let why = server.mariadb(user, password, "SHOW DATABASES").refused();
        let words =
            format!("ERROR 1045 (28000): Access denied for user '{user}'@'127.0.0.1' (using password: {using})");
        assert!(why.contains(&words), "{why}");
    }
    let refused = |user: &str, password: &str, args: &[&str], sql: &str, words: &str| {
        let why = server.mariadb_with(user, password, args, sql).refused();
        assert!(why.contains(words), "{sql}: {why}");
    };
    refused("root", PASSWORD, &["-D", "nope"], "SHOW TABLES", "ERROR 1049 (42000): Unknown database 'nope'");
    refused("root", PASSWORD, &[], "USE nope", "ERROR 1049 (42000) at line 1: Unknown database 'nope'");
    refused("root", PASSWORD, &[], "SHOW NONSENSE", "ERROR 1064 (42000) at line 1: syntax error at line 1, column 6");
    refused("root", PASSWORD, &[], "DESC shop.nope", "ERROR 1146 (42S02) at line 1: Unknown table 'nope'");
    let privilege = "ERROR 1227 (42000) at line 1: Access denied; you need (at least one of) the ADMIN privilege(s) for this operation";
    refused("ann", "secret", &[], "SHOW REPOSITORIES", privilege);
}

#[test]
fn the_mariadb_client_speaks_tls_with_either_plugin() {
    let server = Server::start();
    let cert = server.cert();
    let ca = format!("--ssl-ca={}", cert.display());
    for plugin in ["mysql_native_password", "caching_sha2_password"] {
        let plugin = format!("--default-auth={plugin}");
        let args = [ca.as_str(), "--ssl-verify-server-cert", &plugin, "-vvv"];
        let said = server.mariadb_with("root", PASSWORD, &args, "SHOW DATABASES").said();
        assert!(said.contains("shop"), "{said}");
        let why = server.mariadb_with("root", "wrong", &args, "SHOW DATABASES").refused();
        assert!(why.contains("ERROR 1045 (28000)"), "{why}");
    }
    let said = server.mariadb_with("root", PASSWORD, &[&ca, "--ssl-verify-server-cert"], "\\s").said();
    assert!(said.contains("Cipher in use is TLS_"), "{said}");
}

const PYMYSQL: &str = "import pymysql";

#[test]
fn pymysql_logs_in_and_asks() {
    Server::start().python(
        PYMYSQL,
        r#"
from pymysql.constants import CLIENT
def rows(connected, text, *values):
    with connected.cursor() as cursor:
        cursor.execute(text, *values)
        return cursor.fetchall()
for tls in ({}, dict(ssl=dict(ca=CA))):
    with pymysql.connect(**connection, database='shop', **tls) as connected:
        assert rows(connected, 'SELECT DATABASE()') == (('shop',),)
        assert rows(connected, 'SHOW DATABASES') == (('shop',),)
        assert rows(connected, 'SHOW BACKUP WHERE SnapshotName = %s', ("it's",)) == ()
        assert rows(connected, 'SHOW REPOSITORIES') == ()
        connected.ping()
        refused(1049, lambda: connected.select_db('nope'))
        refused(1064, lambda: rows(connected, 'SHOW DATABASES; SHOW DATABASES'))
        assert rows(connected, 'SELECT DATABASE()') == (('shop',),)
with pymysql.connect(**connection, client_flag=CLIENT.MULTI_STATEMENTS) as connected:
    with connected.cursor() as cursor:
        cursor.execute('USE shop; SELECT DATABASE(); SHOW TABLES FROM nope; SHOW DATABASES')
        assert cursor.nextset() and cursor.fetchall() == (('shop',),)
        refused(1049, cursor.nextset)
    assert rows(connected, 'SHOW DATABASES') == (('shop',),)
wrong = refused(1045, lambda: pymysql.connect(**{**connection, 'password': 'wrong'}))
assert "Access denied for user 'root'@'127.0.0.1' (using password: YES)" in wrong, wrong
with pymysql.connect(**{**connection, 'user': 'ann', 'password': 'secret'}) as ann:
    refused(1227, lambda: rows(ann, 'SHOW REPOSITORIES'))
"#,
    );
}

/// Both implementations of Oracle's client: what they share.
fn connector(pure: bool) {
    // The module in C brings an OpenSSL of its own, which must be there before Python's.
    let imports = "import _mysql_connector, mysql.connector";
    let script = r#"
connection = dict(connection, use_pure=PURE)
def rows(connected, text, values=(), **options):
    with connected.cursor(**options) as cursor:
        cursor.execute(text, values)
        return cursor.fetchall()
ways = [
    dict(),
    dict(ssl_disabled=True),
    dict(ssl_ca=CA, ssl_verify_cert=True),
    dict(ssl_ca=CA, ssl_verify_cert=True, auth_plugin='caching_sha2_password'),
    dict(auth_plugin='mysql_native_password'),
]
for way in ways:
    with mysql.connector.connect(**connection, database='shop', **way) as connected:
        assert rows(connected, 'SELECT DATABASE()') == [('shop',)], way
    wrong = refused(1045, lambda: mysql.connector.connect(**{**connection, 'password': 'wrong'}, **way))
    assert "Access denied for user 'root'@'127.0.0.1' (using password: YES)" in wrong, (way, wrong)
with mysql.connector.connect(**connection, database='shop') as connected:
    for question in ('SHOW BACKUP', 'SHOW RESTORE', 'SHOW REPOSITORIES', 'SHOW BROKER', 'SHOW TABLES'):
        assert rows(connected, question) == [], question
    for name in ("it's", 7, None, 1.5, b'bytes'):
        assert rows(connected, 'SHOW BACKUP WHERE SnapshotName = %s', (str(name),)) == []
    with connected.cursor(prepared=True) as cursor:
        for name in ('a', "it's", 'zw\u00f6lf', 'x' * 70000):
            cursor.execute('SHOW BACKUP WHERE SnapshotName = %s', (name,))
            assert cursor.column_names[:2] == ('JobId', 'SnapshotName')
            assert cursor.fetchall() == []
    assert rows(connected, 'SHOW DATABASES', prepared=True) == [('shop',)]
    refused(1064, lambda: rows(connected, 'SHOW NONSENSE WHERE a = %s', ('x',), prepared=True))
    with connected.cursor() as cursor:
        cursor.execute('SHOW DATABASES; USE shop; SELECT DATABASE()', map_results=True)
        assert [result for _, result in cursor.fetchsets()] == [[('shop',)], [], [('shop',)]]
    connected.ping()
    connected.reset_session()
    assert rows(connected, 'SELECT DATABASE()') == [('shop',)]
    connected.cmd_change_user('ann', 'secret', '')
    refused(1227, lambda: rows(connected, 'SHOW REPOSITORIES'))
"#;
    let pure = if pure { "PURE = True\n" } else { "PURE = False\n" };
    Server::start().python(imports, &format!("{pure}{script}"));
}

#[test]
fn mysql_connector_in_python_logs_in_and_asks() {
    connector(true);
}

#[test]
fn mysql_connector_in_c_logs_in_and_asks() {
    connector(false);
}

#[test]
fn sqlalchemy_connects_asks_and_inspects() {
    Server::start().python(
        "import _mysql_connector, mysql.connector, pymysql, sqlalchemy",
        r#"
from sqlalchemy import URL, create_engine, exc, inspect, text
for driver in ('pymysql', 'mysqlconnector'):
    named = dict(connection)
    named['username'] = named.pop('user')
    engine = create_engine(URL.create(f'mysql+{driver}', database='shop', **named))
    with engine.connect() as connected:
        assert connected.execute(text('SHOW DATABASES')).fetchall() == [('shop',)]
        found = connected.execute(text('SHOW BACKUP WHERE SnapshotName = :name'), dict(name="it's"))
        assert 'SnapshotName' in found.keys() and found.fetchall() == []
        connected.rollback()
        connected.commit()
    with engine.connect() as connected:
        try:
            connected.execute(text('DESC nope'))
            raise AssertionError('1146 is not raised')
        except exc.ProgrammingError as error:
            assert '1146' in str(error.orig), error
    inspector = inspect(engine)
    assert inspector.get_schema_names() == ['shop']
    assert inspector.get_table_names() == []
    assert inspector.get_view_names() == []
    assert not inspector.has_table('nope')
    engine.dispose()
"#,
    );
}

#[test]
fn a_statement_under_way_ends_with_its_client() {
    let server = Server::start();
    // Storage that takes a connection and never answers keeps CREATE REPOSITORY waiting.
    let silent = TcpListener::bind("127.0.0.1:0").expect("listen");
    let endpoint = silent.local_addr().expect("its address");
    let sql = format!(
        "CREATE REPOSITORY r WITH S3 ON LOCATION 's3://bucket/r' PROPERTIES ('s3.endpoint' = 'http://{endpoint}', \
         's3.region' = 'here', 's3.access_key' = 'a', 's3.secret_key' = 'b', 'use_path_style' = 'true')"
    );
    let mut client = server.mariadb_command("root", PASSWORD);
    let mut client = client.args(["-e", &sql]).spawn().unwrap_or_else(|error| panic!("{MARIADB_MISSING} ({error})"));
    let (mut asked, _) = silent.accept().expect("the repository is looked for");
    let mut head = [0; 4];
    asked.read_exact(&mut head).expect("a request");
    server.await_metric("tabvault_mysql_connections", "1");
    client.kill().expect("kill the client");
    client.wait().expect("wait for the client");
    server.await_metric("tabvault_mysql_statements_total{outcome=\"cancelled\"}", "1");
    server.await_metric("tabvault_mysql_connections", "0");
    assert_eq!(server.mariadb("root", PASSWORD, "SHOW REPOSITORIES").said(), "", "nothing is left of it");
}

#[test]
fn a_port_that_is_no_clients_hears_bytes_and_survives() {
    let server = Server::start();
    for bytes in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 100], &[0; 100], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"]
    {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port.parse().expect("a port"))).expect("connect");
        stream.write_all(bytes).expect("send");
        stream.shutdown(std::net::Shutdown::Write).expect("end");
        // However it ends, it ends.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(server.mariadb("root", PASSWORD, "SHOW DATABASES").said(), "Database\nshop\n");
}
