"""A local Event Hub: durable on disk, spoken to by the unmodified ``azure-eventhub`` client.

Layers, imports only downwards: ``server`` and ``testing`` (processes, threads), ``connection`` (AMQP connections and
sessions), ``links`` (what a client attaches to), ``hub`` (hubs, partitions, retention), ``protocol`` (frames and
messages), ``codec`` (AMQP types), ``log`` (files) and ``errors``. Standard library only.

Not here: the client's side, the command line, and anything that a hospital would recognise.
"""
