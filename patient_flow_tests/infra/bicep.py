"""Microsoft's Bicep compiler, for tests: where it is, and templates as it evaluates them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BICEP = ROOT / "infra" / "bicep"
COMPILER = Path(os.environ.get("PATIENT_FLOW_BICEP", ROOT.parent / "shared" / "tools" / "bicep"))

# The variables without which a deployment is refused.
PEOPLE = {
    "SIGN_IN_CLIENT_ID": "11111111-1111-1111-1111-111111111111",
    "DATABASE_ADMINS_GROUP_ID": "21111111-1111-1111-1111-111111111111",
    "DATABASE_ADMINS_GROUP_NAME": "patient-flow-database-admins",
    "OPERATORS_GROUP_ID": "31111111-1111-1111-1111-111111111111",
    "VIEWERS_GROUP_ID": "41111111-1111-1111-1111-111111111111",
    "DASHBOARD_GROUP_ID": "51111111-1111-1111-1111-111111111111",
}
# The committed snapshots are made with these (infra/bicep/snapshot.sh).
TARGET = (
    *("--subscription-id", "00000000-0000-0000-0000-000000000001", "--resource-group", "rg"),
    *("--location", "francecentral", "--tenant-id", "00000000-0000-0000-0000-000000000002"),
)


def run(*arguments: str | Path, folder: Path = BICEP, **variables: str | None) -> str:
    """What the compiler prints, warnings included.

    Args:
        arguments: Of the command line.
        folder: Working directory.
        variables: Environment variables besides those of ``PEOPLE``; None removes one.

    Raises:
        subprocess.CalledProcessError: When the compiler refuses.
    """
    known = {name: value for name, value in os.environ.items() if not name.endswith(("_ID", "_IDS", "_IPS", "_EMAILS"))}
    environment = known | {"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"} | PEOPLE
    for name, value in variables.items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = value
    done = subprocess.run(
        [COMPILER, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout + done.stderr


def build(template: Path) -> dict[str, Any]:
    """The compiled template (Azure Resource Manager's JSON)."""
    compiled: dict[str, Any] = json.loads(run("build", template, "--stdout"))
    return compiled


def evaluate(environment: str, parameters: str, **variables: str | None) -> list[dict[str, Any]]:
    """The resources that a deployment would create, with the values known before it.

    Args:
        environment: Name of the parameter file.
        parameters: Assignments (``param x = …``, one a line) that replace those of the file.
        variables: Environment variables, as in ``run``.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "bicep"
        shutil.copytree(BICEP, copy)
        file = copy / f"{environment}.bicepparam"
        text = file.read_text()
        for name in re.findall(r"^param (\w+) =", parameters, re.MULTILINE):
            text = re.sub(rf"^param {name} = .*\n", "", text, flags=re.MULTILINE)
        file.write_text(f"{text}\n{parameters}\n")
        run("snapshot", file, "--mode", "overwrite", *TARGET, folder=copy, **variables)
        resources: list[dict[str, Any]] = json.loads((copy / f"{environment}.snapshot.json").read_text())[
            "predictedResources"
        ]
        return resources
