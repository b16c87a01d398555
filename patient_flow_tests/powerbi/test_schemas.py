"""Every JSON file against the schema that Microsoft publishes for it, read from a folder and never from the network."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry, Resource

from patient_flow_tests.powerbi.conftest import ROOT

PREFIX = "https://developer.microsoft.com/json-schemas/"
FOLDER = Path(os.environ.get("PATIENT_FLOW_POWERBI_SCHEMAS", ROOT.parent / "shared" / "schemas" / "powerbi"))

pytestmark = pytest.mark.skipif(
    not (FOLDER / "fabric").is_dir(),
    reason="Microsoft's schemas are not here: clone https://github.com/microsoft/json-schemas and set "
    "PATIENT_FLOW_POWERBI_SCHEMAS to the folder",
)


def schema(uri: str) -> Any:
    """The schema that ``uri`` names; an unknown version is an error."""
    return json.loads((FOLDER / uri.removeprefix(PREFIX)).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def registry() -> Registry[Any]:
    """Finds the schemas that a schema refers to, by the folder they lie in."""
    return Registry(retrieve=lambda uri: Resource.from_contents(schema(uri)))  # type: ignore[call-arg]


def test_every_json_file_fits_its_schema(files: dict[str, str], registry: Registry[Any]) -> None:
    documents = {path: json.loads(text) for path, text in files.items() if text.startswith("{")}
    bound = {path: document for path, document in documents.items() if "$schema" in document}
    problems = []
    for path, document in bound.items():
        uri = document["$schema"]
        # A schema's own $id is not always the place it is published at, which relative references start from.
        located = {**schema(uri), "$id": uri}
        validator = jsonschema.Draft7Validator(located, registry=registry)
        problems += [f"{path}: {error.message}" for error in validator.iter_errors(document)]
    assert not problems
    assert documents.keys() - bound.keys() == {
        "PatientFlow.Report/StaticResources/RegisteredResources/PatientFlow.json"
    }


def test_a_misspelt_property_is_found(files: dict[str, str], registry: Registry[Any]) -> None:
    (path, text), *_ = ((path, text) for path, text in files.items() if path.endswith("visual.json"))
    document = json.loads(text.replace('"visualType"', '"visualTypo"'))
    uri = document["$schema"]
    validator = jsonschema.Draft7Validator({**schema(uri), "$id": uri}, registry=registry)
    assert list(validator.iter_errors(document)), path
