"""The Jinja environment of all pages."""

from __future__ import annotations

import jinja2

from patient_flow.dashboard.spreadsheet import visible

TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("patient_flow.dashboard"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
    finalize=lambda value: visible(value) if isinstance(value, str) else value,
)
"""Escapes values, is strict about unknown names, and makes control characters in texts visible."""
