//! Hosts and disks.

use super::*;
use crate::check::samples::object;

const ORDERS: &str = "orders";

fn orders(
    local: Option<&Cut>,
    properties: &RestoreProperties,
    backends: &[BackendRoom],
) -> Result<RestorePlan, Failure> {
    map_restore(&snapshot(), local, &request(only(&[object(ORDERS, &[], None)])), properties, backends)
}

#[test]
fn too_few_hosts_are_counted_and_the_way_out_is_named() {
    let mut one_host = backends(&[1 << 40; 3]);
    for backend in &mut one_host {
        backend.host = "host1".into();
    }
    let mut three = shop();
    three.tables[1].partitions[1].def.replication_num = 3;
    let mut reserved = snapshot();
    reserved.tables[1].partitions[2].def.replication_num = 5;
    let defaults = properties();
    let reserve = RestoreProperties { reserve_replica: true, ..properties() };
    let two = RestoreProperties { replication_num: Some(2), ..properties() };
    for (snapshot, local, properties, backends, message) in [
        (
            &snapshot(),
            None,
            &defaults,
            backends(&[1 << 40]),
            "failed to find 3 different hosts to create table orders: there are 1 backends on 1 hosts; set \
             \"replication_num\" = \"1\" or less, or add backends on other hosts",
        ),
        (
            &snapshot(),
            None,
            &two,
            one_host,
            "failed to find 2 different hosts to create table orders: there are 3 backends on 1 hosts; set \
             \"replication_num\" = \"1\" or less, or add backends on other hosts",
        ),
        (
            &snapshot(),
            None,
            &two,
            Vec::new(),
            "failed to find 2 different hosts to create table orders: there are 0 backends on 0 hosts; start backends",
        ),
        (
            &reserved,
            None,
            &reserve,
            backends(&[1 << 40; 4]),
            "failed to find 5 different hosts to create table orders: there are 4 backends on 4 hosts; take \
             \"replication_num\" = \"4\" in place of reserve_replica, or add backends on other hosts",
        ),
        (
            &snapshot(),
            Some(&three),
            &defaults,
            backends(&[1 << 40; 2]),
            "failed to find 3 different hosts to create table orders: there are 2 backends on 2 hosts; partition p2 \
             keeps its number of replicas, so add backends on other hosts",
        ),
    ] {
        let request = request(only(&[object(ORDERS, &[], None)]));
        let refusal = map_restore(snapshot, local, &request, properties, &backends).unwrap_err();
        assert_eq!(refusal, Failure::fatal(Kind::ResourceExhausted, message));
    }
}

#[test]
fn every_replica_needs_room_on_a_host_of_its_own() {
    // `orders` has 3000 bytes.
    for (replication_num, available, fits) in [
        (1, &[3000][..], true),
        (1, &[2999], false),
        (1, &[1500, 1500], true),
        (2, &[3000, 3000], true),
        (2, &[6000, 2999], false),
        (2, &[6000, 1500, 1500], true),
        (3, &[3000, 3000, 3000], true),
        (3, &[u64::MAX, u64::MAX, 2999], false),
    ] {
        let properties = RestoreProperties { replication_num: Some(replication_num), ..properties() };
        let answer = orders(None, &properties, &backends(available));
        assert_eq!(answer.is_ok(), fits, "{replication_num} replicas on {available:?}");
    }
}

#[test]
fn too_little_room_is_told_in_numbers() {
    let properties = RestoreProperties { replication_num: Some(2), ..properties() };
    let refusal = orders(None, &properties, &backends(&[1 << 20, 100])).unwrap_err();
    let message = "not enough disk space to restore into database shop: 2.9 KiB with all replicas take 5.8 KiB, and of \
                   1.0 MiB available on 2 hosts 3.0 KiB can be used; free disk space, add backends, restore fewer \
                   tables, or set a smaller replication_num";
    assert_eq!(refusal, Failure::fatal(Kind::NoSpace, message));
}
