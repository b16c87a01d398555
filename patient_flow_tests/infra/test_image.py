"""The image's recipe, by the rules that hadolint and reviewers care about. It cannot be built here; CI builds it."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "infra" / "images"
DOCKERFILE = (IMAGES / "Dockerfile").read_text()
ENTRYPOINT = IMAGES / "entrypoint.sh"


def _instructions() -> list[tuple[str, str]]:
    lines = [line for line in DOCKERFILE.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines()) if word]


def _of(word: str) -> list[str]:
    return [rest for each, rest in _instructions() if each == word]


def test_the_base_is_pinned() -> None:
    (base,) = (value for value in _of("ARG") if value.startswith("PYTHON_IMAGE="))
    assert re.fullmatch(r"PYTHON_IMAGE=python:\d+\.\d+\.\d+-slim-[a-z]+", base)
    assert {image.split()[0] for image in _of("FROM")} == {"${PYTHON_IMAGE}"}
    assert "latest" not in DOCKERFILE


def test_tools_do_not_reach_the_last_stage() -> None:
    last = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    assert "curl" not in last
    assert "pip install" not in last
    assert _of("FROM")[-1].endswith("AS final")


def test_it_runs_as_any_unprivileged_user() -> None:
    assert _of("USER") == ["10001:10001"]
    after = [word for word, _ in _instructions()]
    assert "COPY" not in after[after.index("USER") :]
    assert "RUN" not in after[after.index("USER") :]


def test_it_has_a_health_check_and_ends_on_sigterm() -> None:
    (check,) = _of("HEALTHCHECK")
    assert "healthcheck.py" in check
    assert _of("STOPSIGNAL") == ["SIGINT"]
    (entrypoint,) = _of("ENTRYPOINT")
    assert entrypoint.startswith("[")


def test_debian_packages_leave_no_lists_and_take_no_recommendations() -> None:
    for run in _of("RUN"):
        if "apt-get" not in run:
            continue
        assert "rm -rf /var/lib/apt/lists/*" in run
        installs = re.findall(r"apt-get install ([^&]*)", run)
        assert [install for install in installs if "--no-install-recommends" not in install] == []


def test_nothing_is_added_from_the_network_and_no_secret_is_an_argument() -> None:
    assert _of("ADD") == []
    words = " ".join(_of("ARG") + _of("ENV"))
    assert not re.search(r"PASSWORD|TOKEN|SECRET|_KEY\b", words)


def test_what_is_copied_is_not_ignored() -> None:
    """The ignore file lets in exactly what the recipe takes."""
    let_in = {
        line[1:] for line in (IMAGES / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")
    }
    copied = {source for copy in _of("COPY") if "--from" not in copy for source in shlex.split(copy)[:-1]}
    assert copied == let_in
    for source in copied:
        assert (ROOT / source).exists()


def test_extras_of_the_image_exist() -> None:
    extras = set(re.findall(r"--extra (\w+)", DOCKERFILE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert extras <= set(project["optional-dependencies"])


def _entrypoint(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the entry point with programs that only say how they were called."""
    script = "\n".join(
        f'{name}() {{ echo {name} "$@" "msi=${{AZURE_MSI_ENDPOINT:-}}"; }}'
        for name in ("dagster", "dagster_daemon", "dagster_webserver", "patient_flow")
    )
    body = ENTRYPOINT.read_text().replace("exec ", "")
    for name in ("dagster-daemon", "dagster-webserver", "patient-flow"):
        body = re.sub(rf"(\) +){name}", rf"\1{name.replace('-', '_')}", body)
    return subprocess.run(
        ["/bin/sh", "-c", f"{script}\n{body}", "entrypoint.sh", *arguments],
        env={"PATH": "/usr/bin:/bin", "DAGSTER_HOME": "/opt/dagster", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "runs"),
    [
        (("code",), "dagster api grpc --host 0.0.0.0 --port 4000 --module-name patient_flow.definitions"),
        (("daemon",), "dagster_daemon run --workspace /opt/dagster/workspace.yaml"),
        (
            ("ui", "--read-only"),
            "dagster_webserver --host 0.0.0.0 --port 3000 --workspace /opt/dagster/workspace.yaml --read-only",
        ),
        (("dashboard",), "patient_flow dashboard --host 0.0.0.0 --port 8050"),
        (("echo", "anything else"), "anything else"),
    ],
)
def test_the_first_argument_selects_the_role_of_a_container(arguments: tuple[str, ...], runs: str) -> None:
    assert runs in _entrypoint(*arguments).stdout


def test_without_an_argument_it_prints_its_usage() -> None:
    done = _entrypoint()
    assert done.returncode == 64
    assert "code | daemon | ui" in done.stderr


def test_delta_rs_uses_the_token_endpoint_of_container_apps() -> None:
    assert (
        "msi=http://localhost:42356/msi/token"
        in _entrypoint("code", IDENTITY_ENDPOINT="http://localhost:42356/msi/token").stdout
    )
    assert "msi=\n" in _entrypoint("code").stdout


@pytest.mark.parametrize("pipeline", [".github/workflows/check.yml", "infra/pipelines/azure-devops.yml"])
def test_definitions_are_validated_without_the_database_of_production(pipeline: str) -> None:
    """The home in the image names a PostgreSQL by variables that only a deployment sets."""
    assert _of("ENV")[-1].count("DAGSTER_HOME=/opt/dagster") == 1
    text = (ROOT / pipeline).read_text()
    (command,) = re.findall(r"^ +run (.*)dagster definitions validate", text, re.MULTILINE)
    assert "--env DAGSTER_HOME= " in command


def test_one_host_differs_from_production_in_password_and_run_logs_only() -> None:
    production = yaml.safe_load((ROOT / "infra" / "dagster" / "dagster.yaml").read_text())
    one_host = yaml.safe_load((ROOT / "infra" / "compose" / "dagster.yaml").read_text())
    assert one_host.pop("compute_logs")["class"] == "LocalComputeLogManager"
    assert production.pop("compute_logs")["class"] == "AzureBlobComputeLogManager"
    del production["storage"]["postgres"]["auth_provider"]
    del production["storage"]["postgres"]["postgres_db"]["params"]
    assert one_host == production
