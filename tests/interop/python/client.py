"""A gRPC client that no Rust code generated: grpcio, and messages as the node's own reflection describes them.

    client.py ADDRESS NODES

ADDRESS is a plaintext listener of a node that has heard of all NODES nodes or is about to. Prints one line and ends with 0 when every
answer was as it should be.
"""

import sys
import time

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

SERVICE = "unring.peeraddr.v1.PeerAddrService"

# Until all records and the ring have arrived: a ring is announced 10 s after a change at the latest.
PATIENCE = 30

# The node says every 15 s that it is still there.
HEARTBEAT_WITHIN = 20


class Node:
    """The methods of the service, as the node describes them."""

    def __init__(self, channel):
        self.channel = channel
        database = ProtoReflectionDescriptorDatabase(channel)
        self.services = database.get_services()
        pool = DescriptorPool(database)
        self.methods = pool.FindServiceByName(SERVICE).methods_by_name

    def request(self, method, **fields):
        return GetMessageClass(self.methods[method].input_type)(**fields)

    def call(self, method, request, **options):
        described = self.methods[method]
        # One request and one answer, or streams of both: what the description says.
        kinds = {(False, False): self.channel.unary_unary, (True, True): self.channel.stream_stream}
        kind = kinds[described.client_streaming, described.server_streaming]
        stub = kind(
            f"/{SERVICE}/{method}",
            request_serializer=GetMessageClass(described.input_type).SerializeToString,
            response_deserializer=GetMessageClass(described.output_type).FromString,
        )
        return stub(request, **options)


def check(is_so, what):
    if not is_so:
        sys.exit(f"wrong: {what}")


def eventually(ask, is_right):
    """Asks until the answer is right, with patience for a busy machine; the last answer if it never is."""
    ends = time.monotonic() + PATIENCE
    while True:
        answer = ask()
        if is_right(answer) or time.monotonic() > ends:
            return answer
        time.sleep(0.25)


def names(records):
    return sorted(record.name for record in records)


def main(address, nodes):
    with grpc.insecure_channel(address) as channel:
        grpc.channel_ready_future(channel).result(timeout=PATIENCE)
        node = Node(channel)
        for service in (SERVICE, "grpc.health.v1.Health"):
            check(service in node.services, f"reflection lists {node.services}")

        everybody = node.request("ListPeers", scope="SCOPE_RECURSIVE", decode=True)
        peers = eventually(
            lambda: node.call("ListPeers", everybody, timeout=PATIENCE),
            lambda answer: len(answer.decoded) == nodes,
        )
        check(len(peers.decoded) == nodes, f"ListPeers knows {names(peers.decoded)}")
        check(len(peers.records) == nodes, "ListPeers has not as many signed records")
        check(len(peers.request_id) == 16, f"a request id of {len(peers.request_id)} bytes")
        check(peers.responder in {record.peer_id for record in peers.decoded}, "a responder of no record")

        topology = eventually(
            lambda: node.call("GetTopology", node.request("GetTopology"), timeout=PATIENCE),
            lambda answer: len(answer.nodes) == nodes and len(answer.rings) == 1,
        )
        check(names(topology.nodes) == names(peers.decoded), f"GetTopology has {names(topology.nodes)}")
        check(len(topology.rings) == 1, f"GetTopology has {len(topology.rings)} rings")
        ring = topology.rings[0]
        check(len(ring.members) == len(ring.witness) == nodes - 1, f"the ring is {ring}")
        check(len(ring.cuts) == 1, f"the ring has {len(ring.cuts)} cuts")

        watch(node, peers)
    print(f"reflection, ListPeers, GetTopology and WatchPeers with its heartbeat, of {nodes} nodes")


def watch(node, peers):
    """A snapshot of the same records, then an empty message within the time of a heartbeat; then the stream is resumed."""
    seen, position = {}, None
    opened = node.request("WatchPeers", decode=True)
    stream = node.call("WatchPeers", iter([opened]), timeout=PATIENCE + HEARTBEAT_WITHIN)
    for message in stream:
        seen.update({record.peer_id: record.name for record in message.decoded})
        if message.version:
            position = {"resume_version": message.version, "epoch": message.epoch}
        if message.snapshot_complete:
            break
    check(sorted(seen.values()) == names(peers.decoded), f"the snapshot has {sorted(seen.values())}")
    check(position is not None, "the snapshot has no version")
    started = time.monotonic()
    beat = next(stream, None)
    while beat is not None and (beat.records or beat.snapshot_complete):
        beat = next(stream, None)
    waited = time.monotonic() - started
    check(beat is not None, "the stream ended instead of a heartbeat")
    check(waited < PATIENCE + HEARTBEAT_WITHIN, f"a heartbeat after {waited:.1f} s")
    stream.cancel()

    resumed = node.call(
        "WatchPeers", iter([node.request("WatchPeers", decode=True, **position)]), timeout=PATIENCE
    )
    first = next(resumed)
    check(first.resumed, "the stream was not resumed")
    check(first.epoch == position["epoch"], "another epoch without a restart")
    resumed.cancel()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], int(sys.argv[2]))
