-- The tour, part one: a cluster, its tables, their files, and a repository.
--
-- It is plain SQL; `main.rs` runs it through `mariadb` and through `tabvault sql`. What stands between `@` is put in by
-- whoever runs it: @dir@ is a directory, @broker@ the address of a broker process, and @timestamp:LABEL@ what SHOW
-- SNAPSHOT tells of LABEL. BACKUP and RESTORE answer when the job is stored: at a line `-- wait:`, SHOW BACKUP or SHOW
-- RESTORE is asked again until the State is FINISHED, as with Doris.

HELP 'CANCEL BACKUP';
SHOW BACKENDS;
SHOW DATABASES;

-- Tables: partitions by range and by list, all kinds of keys, a rollup, a view.
CREATE DATABASE shop;
CREATE DATABASE shop;
CREATE DATABASE IF NOT EXISTS shop;
USE shop;
CREATE TABLE orders (
  day DATE NOT NULL COMMENT "when it was placed",
  id BIGINT NOT NULL,
  total DECIMAL(12, 2) DEFAULT "0.00"
) ENGINE=OLAP
DUPLICATE KEY (day, id)
COMMENT "what was ordered"
PARTITION BY RANGE (day) (
  PARTITION p2023 VALUES LESS THAN ("2024-01-01"),
  PARTITION p2024 VALUES LESS THAN ("2025-01-01"),
  PARTITION p2025 VALUES [("2025-01-01"), ("2026-01-01"))
)
DISTRIBUTED BY HASH (id) BUCKETS 2
ROLLUP (by_id (id, total))
PROPERTIES ("replication_num" = "2", "dynamic_partition.enable" = "true", "dynamic_partition.time_unit" = "YEAR",
  "dynamic_partition.end" = "3", "dynamic_partition.prefix" = "p", "dynamic_partition.buckets" = "2");
CREATE TABLE places (country VARCHAR(2) NOT NULL, town VARCHAR(64))
UNIQUE KEY (country)
PARTITION BY LIST (country) (
  PARTITION alps VALUES IN ("at", "ch"),
  PARTITION north VALUES IN ("no", "se")
)
DISTRIBUTED BY HASH (country) BUCKETS 1
PROPERTIES ("replication_num" = "3");
CREATE TABLE sums (day DATE, total BIGINT SUM, longest INT MAX DEFAULT "0")
AGGREGATE KEY (day)
DISTRIBUTED BY HASH (day) BUCKETS 3
PROPERTIES ("replication_num" = "1");
CREATE TABLE carts (id BIGINT NOT NULL, items ARRAY<BIGINT>)
PRIMARY KEY (id)
DISTRIBUTED BY HASH (id) BUCKETS 1
PROPERTIES ("replication_num" = "1");
CREATE TABLE orders (id INT) DISTRIBUTED BY HASH (id) BUCKETS 1;
CREATE TABLE wide (id INT) DISTRIBUTED BY HASH (id) BUCKETS 1 PROPERTIES ("replication_num" = "7");
CREATE VIEW large_orders AS SELECT day, id FROM orders WHERE total > 1000;
SHOW CREATE TABLE orders;
SHOW CREATE TABLE places;
SHOW CREATE VIEW large_orders;
DESC orders;
DESC shop.sums;
DESC nothing;

-- Files into tables. The number of affected rows is that of files.
LOAD LABEL shop.orders_2024 (DATA INFILE("file://@dir@/in/2024/**") INTO TABLE orders PARTITION (p2024));
LOAD LABEL orders_2025 (DATA INFILE("file://@dir@/in/2025/**") INTO TABLE orders PARTITION (p2025));
LOAD LABEL alps (DATA INFILE("file://@dir@/in/alps/*") INTO TABLE places PARTITION (alps));
LOAD LABEL sums (DATA INFILE("file://@dir@/in/sums") INTO TABLE sums);
LOAD LABEL carts (DATA INFILE("file://@dir@/in/carts/**") INTO TABLE carts);
LOAD LABEL sums (DATA INFILE("file://@dir@/in/sums") INTO TABLE sums);
LOAD LABEL more (DATA INFILE("file://@dir@/in/2024/**") INTO TABLE orders PARTITION (p2031));
LOAD LABEL more (DATA INFILE("file://@dir@/nothing/**") INTO TABLE sums);
SHOW TABLES;
SHOW TABLES LIKE '%s';
SHOW PARTITIONS FROM orders;
SHOW PARTITIONS FROM places;
SHOW TABLETS FROM carts;

-- Users.
CREATE USER 'ann' IDENTIFIED BY 'her secret';
GRANT LOAD_PRIV ON shop.* TO 'ann';
SHOW GRANTS FOR 'ann';
GRANT SELECT_PRIV ON shop.* TO 'ann';
REVOKE LOAD_PRIV ON shop.* FROM 'ann';
SHOW GRANTS FOR 'ann';
DROP USER 'ann';
SHOW GRANTS FOR 'ann';

-- Repositories.
ALTER SYSTEM ADD BROKER near "@broker@";
CREATE REPOSITORY backups WITH LOCAL ON LOCATION "file://@dir@/repository" PROPERTIES ();
CREATE REPOSITORY through_broker WITH BROKER near ON LOCATION "file://@dir@/through_broker";
CREATE REPOSITORY backups WITH LOCAL ON LOCATION "file://@dir@/repository" PROPERTIES ();
CREATE REPOSITORY lost WITH BROKER nobody ON LOCATION "file://@dir@/lost";
SHOW REPOSITORIES;

-- Backups: of all, of a partition, of all but something.
BACKUP SNAPSHOT shop.sales FROM backups;
BACKUP SNAPSHOT shop.sales TO nowhere;
BACKUP SNAPSHOT shop.sales TO backups ON (orders PARTITION (p2031));
BACKUP SNAPSHOT shop.sales TO backups PROPERTIES ("timeout" = "60", "colour" = "blue");
EXPLAIN BACKUP SNAPSHOT shop.sales TO backups;
BACKUP SNAPSHOT shop.sales TO backups PROPERTIES ("type" = "full", "timeout" = "3600");
-- wait: BACKUP shop sales
USE shop;
BACKUP SNAPSHOT sales TO backups;
CANCEL BACKUP FROM shop;
BACKUP SNAPSHOT shop.sales_2024 TO backups ON (orders PARTITION (p2024), places AS towns);
BACKUP SNAPSHOT shop.sales_2024 TO backups ON (orders PARTITION (p2024));
-- wait: BACKUP shop sales_2024
BACKUP SNAPSHOT shop.few TO through_broker EXCLUDE (orders, places PARTITION (north));
-- wait: BACKUP shop few
SHOW BROKER;
SHOW BACKUP FROM shop;
SHOW BACKUP FROM shop WHERE SnapshotName LIKE 'sales\_%';
SHOW BACKUP FROM nowhere;
SHOW SNAPSHOT ON backups;
SHOW SNAPSHOT ON backups WHERE SNAPSHOT = 'sales_2024';
SHOW SNAPSHOT ON backups WHERE SNAPSHOT = 'sales_2024' AND TIMESTAMP = '@timestamp:sales_2024@';

-- What is lost comes back.
USE shop;
DROP TABLE orders;
DROP TABLE orders;
RESTORE SNAPSHOT shop.sales FROM backups ON (orders);
RESTORE SNAPSHOT shop.sales FROM backups ON (orders) PROPERTIES ("backup_timestamp" = "2001-01-01-00-00-00");
RESTORE SNAPSHOT shop.sales FROM backups ON (orders, orders AS o)
PROPERTIES ("backup_timestamp" = "@timestamp:sales@");
EXPLAIN RESTORE SNAPSHOT shop.sales FROM backups ON (orders)
PROPERTIES ("backup_timestamp" = "@timestamp:sales@", "replication_num" = "4");
EXPLAIN RESTORE SNAPSHOT shop.sales FROM backups ON (orders)
PROPERTIES ("backup_timestamp" = "@timestamp:sales@", "reserve_replica" = "true");
RESTORE SNAPSHOT shop.sales FROM backups ON (orders)
PROPERTIES ("backup_timestamp" = "@timestamp:sales@", "reserve_replica" = "true");
-- wait: RESTORE shop sales
CANCEL RESTORE FROM shop WHERE LABEL = 'sales';
SHOW RESTORE FROM shop;
SHOW CREATE TABLE shop.orders;
ALTER TABLE shop.orders SET ("dynamic_partition.enable" = "true");
EXPORT TABLE shop.orders PARTITION (p2024) TO "file://@dir@/out/2024";
EXPORT TABLE shop.orders PARTITION (p2024) TO "file://@dir@/out/2024";

-- Into another database, without the cluster's own places.
RESTORE SNAPSHOT sales FROM backups DATABASE shop AS shop_copy EXCLUDE (places PARTITION (north))
PROPERTIES ("backup_timestamp" = "@timestamp:sales@", "replication_num" = "1");
-- wait: RESTORE shop_copy sales
SHOW RESTORE FROM shop_copy;
SHOW BRIEF RESTORE FROM shop_copy WHERE Label = 'sales';
SHOW TABLES FROM shop_copy;
SHOW PARTITIONS FROM shop_copy.places;
ALTER TABLE shop_copy.places ADD PARTITION south VALUES IN ("it", "es");
ALTER TABLE shop_copy.places ADD PARTITION west VALUES IN ("it", "fr");
ALTER TABLE shop_copy.places DROP PARTITION alps;
EXPORT TABLE shop_copy.sums TO "file://@dir@/out/sums";
DROP DATABASE shop_copy;
ALTER SYSTEM DROP BROKER near "@broker@";
DROP REPOSITORY through_broker;
ALTER SYSTEM DROP BROKER near "@broker@";
SHOW BROKER;
SHOW REPOSITORIES;
