"""Files of events → bodies with row numbers: CSV, JSON lines, JSON documents, HL7 v2 batches, NDJSON, Parquet.

:func:`examine` reads a file once, recognises its format, encoding and separator, and refuses what cannot be read;
:func:`bodies` then yields its rows. Memory is bounded: of all formats only a JSON document is read as a whole.
Not here: what a body means (``transforms``, ``dialects``), where a file comes from, and the lake.
"""

from patient_flow.files.examine import examine, examine_all
from patient_flow.files.locate import locate
from patient_flow.files.rows import bodies
from patient_flow.files.source import FORMATS, FileRefused, FilesRefused, Source
from patient_flow.files.text import identify

__all__ = ["FORMATS", "FileRefused", "FilesRefused", "Source", "bodies", "examine", "examine_all", "identify", "locate"]
