"""The rules as pure functions: frames and figures in, :class:`~patient_flow.monitoring.finding.Finding` out."""
