//! Dials by address, on real swarms.

use std::net::TcpListener;

use libp2p_identity::PeerId;
use multiaddr::{Multiaddr, Protocol};
use tokio::time::timeout;

use super::network::{DEADLINE, ids, start};
use crate::DialFailure;

#[tokio::test]
async fn an_address_alone_is_enough_and_tells_who_answers() {
    let (a, b) = (start().await, start().await);
    let address = b.handle.listen_addresses().remove(0);
    let found = timeout(DEADLINE, a.handle.connect(address.clone())).await.unwrap();
    assert_eq!(found, Ok(b.handle.peer_id()));
    b.until_connected_to(&ids([&a])).await;
    // With the peer's name nothing is dialled: it is there.
    let named = address.with(Protocol::P2p(b.handle.peer_id()));
    assert_eq!(a.handle.connect(named).await, Ok(b.handle.peer_id()));
    assert_eq!((a.handle.connections(), a.handle.counters().dial_failures), (1, 0));
}

#[tokio::test]
async fn each_end_of_a_dial_by_address_is_typed() {
    let (a, b) = (start().await, start().await);
    let (own, others) =
        (a.handle.listen_addresses().remove(0), b.handle.listen_addresses().remove(0));
    let connect = async |address: Multiaddr| timeout(DEADLINE, a.handle.connect(address)).await;
    let outcome = connect(own.clone()).await.unwrap();
    assert_eq!(outcome, Err(DialFailure::OwnAddress { address: own }));
    let named = others.clone().with(Protocol::P2p(a.handle.peer_id()));
    let outcome = connect(named.clone()).await.unwrap();
    assert_eq!(outcome, Err(DialFailure::OwnAddress { address: named }));
    let outcome = connect(others.clone().with(Protocol::P2p(PeerId::random()))).await.unwrap();
    let obtained = b.handle.peer_id();
    assert_eq!(outcome, Err(DialFailure::WrongPeer { obtained, address: others }));
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let outcome = connect(format!("/ip4/127.0.0.1/tcp/{free}").parse().unwrap()).await.unwrap();
    assert!(matches!(outcome, Err(DialFailure::Unreachable { .. })), "{outcome:?}");
    for text in ["/dns4/server1/tcp/1", "/ip4/127.0.0.1/tcp/0"] {
        let outcome = connect(text.parse().unwrap()).await.unwrap();
        assert!(matches!(outcome, Err(DialFailure::NotDialled { .. })), "{outcome:?}");
    }
    a.handle.shutdown();
    a.task.await.unwrap();
    let outcome = a.handle.connect("/ip4/127.0.0.1/tcp/1".parse().unwrap()).await;
    assert!(matches!(outcome, Err(DialFailure::NotDialled { .. })), "{outcome:?}");
}
