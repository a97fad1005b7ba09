-- The tour, part two: another cluster has the repository under the same name and at the same location. It sees the
-- snapshots of the first, brings them back, and never writes there.

CREATE READ ONLY REPOSITORY backups WITH LOCAL ON LOCATION "file://@dir@/repository" PROPERTIES ();
SHOW REPOSITORIES;
SHOW SNAPSHOT ON backups;
SHOW SNAPSHOT ON backups WHERE SNAPSHOT = 'sales';

-- look up: the timestamp of sales
CREATE DATABASE mine;
USE mine;
CREATE TABLE sums (day DATE) DUPLICATE KEY (day) DISTRIBUTED BY HASH (day) BUCKETS 3 PROPERTIES ("replication_num" = "1");
BACKUP SNAPSHOT mine.first TO backups;
RESTORE SNAPSHOT mine.sales FROM backups PROPERTIES ("backup_timestamp" = "@timestamp:sales@", "replication_num" = "1");
RESTORE SNAPSHOT mine.sales FROM backups DATABASE mine PROPERTIES ("backup_timestamp" = "@timestamp:sales@");
RESTORE SNAPSHOT mine.sales FROM backups
ON (orders PARTITION (p2024, p2025) AS old_orders, carts, sums AS old_sums)
PROPERTIES ("backup_timestamp" = "@timestamp:sales@", "replication_num" = "1");
-- wait: RESTORE mine sales
SHOW RESTORE FROM mine;
SHOW TABLES FROM mine;
SHOW PARTITIONS FROM mine.old_orders;
SHOW CREATE TABLE mine.old_orders;
EXPORT TABLE mine.old_orders PARTITION (p2025) TO "file://@dir@/out/2025";
EXPORT TABLE mine.carts TO "file://@dir@/out/carts";
EXPORT TABLE mine.old_sums TO "file://@dir@/out/old_sums";
DROP REPOSITORY backups;
SHOW REPOSITORIES;
