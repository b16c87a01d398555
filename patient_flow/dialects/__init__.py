"""Foreign dialects → the fields of the event contract: source mappings, HL7 v2 ADT messages, FHIR R4 Encounters.

Pure: no files, no clock, no environment. Not here: what the fields mean and whether an event is acceptable
(``transforms``, ``contracts.rules``). The guide for a hospital's integrator is ``infra/docs/source-mappings.md``.
"""
