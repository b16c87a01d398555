"""Requests to the nodes ``$cbs`` (tokens) and ``$management`` (properties of hubs and partitions), and their answers.

Not here: the encoding of requests and replies (``messages``).
"""

from __future__ import annotations

from patient_flow.local_hub import codec, messages, protocol
from patient_flow.local_hub.hub import Hub, Namespace, Partition
from patient_flow.local_hub.links import Inbound, Session
from patient_flow.local_hub.messages import Request
from patient_flow.local_hub.protocol import AmqpError, Performative

ERASE = "com.patient-flow:erase"
"""Type of a request that Azure does not have: the events with these ``numbers`` get ``body`` for their body."""


class Requests(Inbound):
    """Receives the requests to a request/response node: tokens (all are accepted) and properties."""

    def __init__(self, session: Session, handle: int, node: str, namespace: Namespace) -> None:
        super().__init__(session, handle)
        self._node = node
        self._namespace = namespace

    def on_delivery(self, first: Performative, settled: bool, payload: bytes) -> None:
        """Answer a request."""
        request = messages.parse_request(payload)
        if not settled:
            self.session.send(protocol.accepted(first.number(1)))
        replier = self.session.replier(self._node)
        if replier is None:
            raise AmqpError(protocol.NOT_ALLOWED, f"No link receives replies from {self._node}.")
        if self._node == "$cbs":
            replier.reply(messages.reply(request, 202, "Accepted"))
        else:
            replier.reply(_properties(self._namespace, request))


def _properties(namespace: Namespace, request: Request) -> bytes:
    hub = namespace.hub(request.text("name"))
    if hub is None:
        return messages.reply(request, 404, protocol.entity_not_found(request.text("name")).description)
    if request.text("type") == "com.microsoft:eventhub":
        return messages.reply(request, 200, "OK", hub_properties(hub))
    partition = hub.partition(request.text("partition"))
    if request.text("type") == ERASE and partition is not None:
        numbers, body = map(int, request.text("numbers").split(",")), request.text("body").encode()
        erased = partition.log.replace(numbers, lambda event: messages.emptied(event, body))
        return messages.reply(request, 200, "OK", {"erased": codec.long(erased)})
    if request.text("type") != "com.microsoft:partition" or partition is None:
        return messages.reply(
            request,
            400,
            protocol.partition_not_found(hub.name, request.text("partition"), len(hub.partitions)).description,
        )
    return messages.reply(request, 200, "OK", partition_properties(hub, partition))


def hub_properties(hub: Hub) -> dict[str, bytes]:
    """Names and encoded values of a hub's properties."""
    return {
        "name": codec.string(hub.name),
        "type": codec.string("com.microsoft:eventhub"),
        "created_at": codec.timestamp(hub.created_at),
        "partition_count": codec.int32(len(hub.partitions)),
        "partition_ids": codec.array_of_strings(*(partition.id for partition in hub.partitions)),
    }


def partition_properties(hub: Hub, partition: Partition) -> dict[str, bytes]:
    """Names and encoded values of a partition's properties."""
    log = partition.log
    return {
        "name": codec.string(hub.name),
        "type": codec.string("com.microsoft:partition"),
        "partition": codec.string(partition.id),
        "begin_sequence_number": codec.long(log.begin_sequence),
        "last_enqueued_sequence_number": codec.long(log.last.sequence),
        "last_enqueued_offset": codec.string(str(log.last.offset)),
        "last_enqueued_time_utc": codec.timestamp(log.last.enqueued_at),
        "is_partition_empty": codec.boolean(log.is_empty),
    }
