"""The choice of a link by the address in a client's attach.

Not here: the links themselves (``event_links``, ``management``).
"""

from __future__ import annotations

from patient_flow.local_hub import protocol
from patient_flow.local_hub.event_links import Broker, Consumer, Producer
from patient_flow.local_hub.hub import Hub, Partition
from patient_flow.local_hub.links import Link, Replies, Session
from patient_flow.local_hub.management import Requests
from patient_flow.local_hub.protocol import AmqpError, Attach

_REQUEST_NODES = ("$cbs", "$management")


def open_link(broker: Broker, session: Session, attach: Attach) -> Link:
    """The link for an attach. Raises :class:`AmqpError` when there is nothing to attach to."""
    address = attach.address
    node = address[0].lower()
    if node in _REQUEST_NODES:
        if attach.client_receives:
            return Replies(session, attach.handle, node)
        return Requests(session, attach.handle, node, broker.namespace)
    hub = broker.namespace.hub(node)
    if hub is None:
        raise protocol.entity_not_found(address[0])
    path = [part.lower() if index % 2 else part for index, part in enumerate(address)]
    match path:
        case [_] if not attach.client_receives:
            return Producer(session, attach.handle, lambda key: hub.route(key, next(broker.round_robin)))
        case [_, "partitions", partition_id] if not attach.client_receives:
            partition = _partition(hub, partition_id)
            return Producer(session, attach.handle, lambda _key: partition)
        case [_, "consumergroups", group, "partitions", partition_id] if attach.client_receives:
            broker.check_group(hub, group)
            consumer = Consumer(session, attach.handle, broker, _partition(hub, partition_id), attach)
            consumer.claim()
            return consumer
    raise AmqpError(protocol.NOT_FOUND, f"There is no node at '{'/'.join(address)}'.")


def _partition(hub: Hub, partition_id: str) -> Partition:
    partition = hub.partition(partition_id)
    if partition is None:
        raise protocol.partition_not_found(hub.name, partition_id, len(hub.partitions))
    return partition
