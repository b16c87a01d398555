"""What is installed here, as a CycloneDX 1.6 bill of materials on standard output; needs Python alone.

docker run --rm IMAGE python /opt/patient-flow/bin/sbom.py > sbom.cdx.json

Python packages with their licences, and the packages of Debian where there are any. ``infra/locks/licences.py`` makes
the page of licences from the same statements.
"""

import json
import re
import shutil
import subprocess
import sys
from importlib import metadata
from urllib.parse import quote

_CLASSIFIER = "License :: OSI Approved :: "
_DEBIAN = "dpkg-query --show --showformat ${Package}\\t${Version}\\t${Architecture}\\n"


def licence_of(package: metadata.Distribution) -> str:
    """The licence that a package states: an SPDX expression, else its classifiers, else the first line of its text."""
    stated = package.metadata
    if expression := stated.get("License-Expression"):
        return expression
    classifiers = [name.removeprefix(_CLASSIFIER) for name in stated.get_all("Classifier") or [] if _CLASSIFIER in name]
    if classifiers:
        return " or ".join(sorted(classifiers))
    lines = (stated.get("License") or "").strip().splitlines()
    return lines[0][:80] if lines else "not stated"


def python_packages() -> list[dict[str, object]]:
    """One component for each installed Python package, by name."""
    found = {}
    for package in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()
        purl = f"pkg:pypi/{name}@{package.version}"
        found[name] = {
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": package.version,
            "purl": purl,
            "licenses": [{"license": {"name": licence_of(package)}}],
        }
    return [found[name] for name in sorted(found)]


def debian_packages() -> list[dict[str, object]]:
    """One component for each package of Debian; none elsewhere."""
    if shutil.which("dpkg-query") is None:
        return []
    lines = subprocess.run(_DEBIAN.split(" "), capture_output=True, text=True, check=True).stdout.splitlines()  # noqa: S603
    rows = [line.split("\t") for line in lines]
    return [
        {
            "type": "library",
            "bom-ref": f"pkg:deb/debian/{name}@{quote(version)}?arch={architecture}",
            "name": name,
            "version": version,
            "purl": f"pkg:deb/debian/{name}@{quote(version)}?arch={architecture}",
        }
        for name, version, architecture in rows
    ]


def bill_of_materials() -> dict[str, object]:
    """The document. It states no time, so that the same content is the same file."""
    components = python_packages()
    product = next((part for part in components if part["name"] == "patient-flow"), None)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": product or {"type": "application", "name": "patient-flow"}},
        "components": [*(part for part in components if part is not product), *debian_packages()],
    }


if __name__ == "__main__":
    json.dump(bill_of_materials(), sys.stdout, indent=2)
