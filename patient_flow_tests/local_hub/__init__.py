"""Tests of the local Event Hub, most of them through the real ``azure-eventhub`` clients."""
