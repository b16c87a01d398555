"""HL7 v2 over MLLP: a small receiver in front of an Event Hub, for interface engines.

``messages`` reads frames and writes acknowledgements, ``receiver`` serves connections and forwards messages. Not here:
what a message means (``dialects.hl7``); a message that the pipeline cannot use is acknowledged and quarantined there.
"""
