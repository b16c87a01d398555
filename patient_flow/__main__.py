"""``python -m patient_flow``: the same as ``patient-flow``."""

from patient_flow.cli import main

main()
