"""A local Event Hub, durable on disk, for Microsoft's clients and any client that follows AMQP 1.0.

Layers, imports only downwards: ``server`` and ``testing`` (processes, threads), ``connection`` (AMQP connections and
sessions), ``routing`` (addresses), ``event_links`` and ``management`` (links) on ``links``, ``hub`` (hubs, partitions,
retention), ``protocol`` (frames), ``messages`` (sections), ``codec`` (AMQP types), ``log`` and ``segments`` (files),
and ``errors``. Standard library only.

Not here: the client's side, the command line, and anything specific to hospitals.
"""
