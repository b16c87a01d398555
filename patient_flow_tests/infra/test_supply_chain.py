"""What CI and the image install is pinned by hash, listed, and under a known licence."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "infra" / "locks"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
INSTALLERS = [ROOT / ".ci/run", ROOT / "infra/images/Dockerfile", *(ROOT / ".github/workflows").glob("*.yml")]
INSTALLERS += [ROOT / "infra/pipelines/azure-devops.yml"]


def locked(name: str) -> dict[str, tuple[str, int]]:
    """Package → its version and the number of its hashes, of a file in infra/locks."""
    text = (LOCKS / f"{name}.txt").read_text().replace("\\\n", " ")
    parts = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return {
        package: (version, sum(word.startswith("--hash=sha256:") for word in words))
        for words in parts
        for package, _, version in [words[0].partition("==")]
    }


def pins() -> dict[str, str]:
    """Package → version, of everything that pyproject.toml installs by name."""
    groups = (*PROJECT["project"]["optional-dependencies"].values(), *PROJECT["dependency-groups"].values())
    stated = [*PROJECT["project"]["dependencies"], *(line for group in groups for line in group)]
    return dict(re.sub(r"\[.*?\]", "", line).split(";")[0].strip().split("==") for line in stated)


@pytest.mark.parametrize("name", ["python", "uv", "checkov"])
def test_every_package_has_a_version_and_hashes_and_no_address(name: str) -> None:
    found = locked(name)
    assert found
    assert [package for package, (version, hashes) in found.items() if not version or not hashes] == []
    assert "://" not in (LOCKS / f"{name}.txt").read_text()


def test_the_hashes_are_those_of_the_versions_in_pyproject() -> None:
    found = {package: version for package, (version, _) in locked("python").items()}
    wrong = {name: version for name, version in pins().items() if found.get(name) != version}
    assert wrong == {}, "run infra/locks/generate.sh"
    pinned = dict(line.split("==") for line in PROJECT["tool"]["uv"]["constraint-dependencies"])
    differing = {name: version for name, version in found.items() if version != {**pinned, **pins()}.get(name)}
    assert differing == {}, "pin these in pyproject.toml"


def test_packages_of_node_have_their_integrity_and_no_address() -> None:
    lock = json.loads((LOCKS / "npm" / "package-lock.json").read_text())
    wanted = json.loads((LOCKS / "npm" / "package.json").read_text())["dependencies"]
    packages = {path: package for path, package in lock["packages"].items() if path}
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert [path for path, package in packages.items() if not package.get("integrity", "").startswith("sha512-")] == []
    assert [path for path, package in packages.items() if "resolved" in package] == []


def test_nothing_is_installed_without_its_hash() -> None:
    for file in INSTALLERS:
        text = file.read_text().replace("\\\n", " ")
        installs = re.findall(
            r"^.*\b(?:pip (?:install|sync)|npm (?:install|ci)|uvx|uv tool|uv sync)\b.*$", text, re.MULTILINE
        )
        checked = [line for line in installs if "--require-hashes" in line or "npm ci" in line or "--no-deps" in line]
        assert installs == checked, file


def test_the_key_of_microsofts_repository_is_compared_with_its_fingerprint() -> None:
    dockerfile = (ROOT / "infra/images/Dockerfile").read_text()
    assert re.search(r"^ARG MICROSOFT_FINGERPRINT=[0-9A-F]{40}$", dockerfile, re.MULTILINE)
    assert '| cut -d : -f 10)" = "$MICROSOFT_FINGERPRINT"' in dockerfile
    assert dockerfile.index('MICROSOFT_FINGERPRINT"') < dockerfile.index("gpg --dearmor")


def test_the_bill_of_materials_names_what_is_installed_with_its_licence() -> None:
    printed = subprocess.run(
        [sys.executable, ROOT / "infra/images/sbom.py"], capture_output=True, text=True, check=True
    ).stdout
    bill = json.loads(printed)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["name"] == "patient-flow"
    versions = {part["name"]: part["version"] for part in bill["components"] if part["purl"].startswith("pkg:pypi/")}
    runtime = [re.split(r"[\[=]", line)[0] for line in PROJECT["project"]["dependencies"]]
    assert {name: pins()[name] for name in runtime} == {name: versions.get(name) for name in runtime}
    references = [part["bom-ref"] for part in bill["components"]]
    assert len(references) == len(set(references))


def test_the_page_of_licences_is_current_and_knows_every_licence() -> None:
    generated = runpy.run_path(str(LOCKS / "licences.py"))["page"]()
    assert (ROOT / "infra/docs/licences.md").read_text() == generated, "run infra/locks/licences.py"
    assert "not stated" not in generated
