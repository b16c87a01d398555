"""A local Event Hub, durable on disk, for the unmodified ``azure-eventhub`` client.

Layers, imports only downwards: ``server`` and ``testing`` (processes, threads), ``connection`` (AMQP connections and
sessions), ``links`` (senders, receivers, request/response nodes), ``hub`` (hubs, partitions, retention),
``protocol`` (frames), ``messages`` (sections), ``codec`` (AMQP types), ``log`` and ``segments`` (files), and
``errors``. Standard library only.

Not here: the client's side, the command line, and anything specific to hospitals.
"""
