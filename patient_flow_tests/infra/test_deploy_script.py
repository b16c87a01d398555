"""``infra/deploy`` against programs that record how they were called: az, docker, git, psql, sqlcmd."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "infra" / "deploy"
MAIN = (ROOT / "infra/bicep/main.bicep").read_text()

# A call is recorded with its words, some variables and the files that it names; one that contains $FAIL_AT fails, until
# the file "healed" exists.
FAKE = r"""#!/bin/sh
line="${0##*/} $*"
{
    printf %s "${0##*/}"
    for word in "$@"; do printf '\037%s' "$word"; done
    printf '\036%s\036%s\036%s' "$PGPASSWORD" "$APPS_READY" "$OPERATOR_IPS"
    for word in "$@"; do
        file="${word#@}"
        case $file in /*) [ -f "$file" ] && { printf '\036'; cat "$file"; } ;; esac
    done
    printf '\035'
} >> "$FAKE/calls"
if [ -n "$FAIL_AT" ] && [ ! -e "$FAKE/healed" ]; then
    case "$line" in *"$FAIL_AT"*) echo "refused: $REASON" >&2; exit 1 ;; esac
fi
. "$FAKE/answers"
"""


class Call(NamedTuple):
    """One call: its words, three variables of its environment, and the content of the files that it names."""

    words: list[str]
    password: str
    apps_ready: str
    operator_ips: str
    files: list[str]

    def __str__(self) -> str:
        return " ".join(self.words)


CONTAINER = {"name": "pipeline-command", "image": "i", "args": ["patient-flow", "status"], "resources": {"cpu": 1},
             "env": [{"name": "KEY", "secretRef": "key"}]}  # fmt: skip
JOB = {"id": "/job", "properties": {"template": {"containers": [CONTAINER]}}}
OUTPUTS = {name: {"value": f"the-{name}"} for name in re.findall(r"^output (\w+)", MAIN, re.MULTILINE)} | {
    "warehouseKind": {"value": "mssql"},
    "uiUrl": {"value": "https://ui.x"},
    "viewerUrl": {"value": "https://viewer.x"},
    "dashboardUrl": {"value": "https://dashboard.x"},
}
ANSWERS = [
    ("az version", "2.80.0"),
    ("account show", "subscription-1"),
    ("get-access-token", "token-1"),
    ("ad group list", ""),
    ("ad group show --group patient-flow", "group-1"),
    ("ad group show", "patient-flow-prod-database-admins"),
    ("ad group member check", "false"),
    ("signed-in-user", "me"),
    ("ad app list", "app-1"),
    ("credential reset", "client-secret-1"),
    ("keyvault secret list", ""),
    ("keyvault show", "/vault"),
    ("properties.outputs", json.dumps(OUTPUTS)),
    ("job show --name pipeline-command", json.dumps(JOB)),
    ("az rest", "execution-1"),
    ("job execution show", "Succeeded"),
    ("job list", "1"),
    ("job start", "execution-0"),
    ("eventhubs namespace list", "2"),
    ("acr list", "registry"),
    ("acr show", "registry.azurecr.io"),
    ("resource list", "/server-1\n/server-2"),
    ("git rev-parse", "c0ffee"),
    ("properties.template.containers[0].image", "registry.azurecr.io/patient-flow:c0ffee"),
    ("identity show", "principal-1"),
    ("group show", "/group"),
]  # fmt: skip
# The smoke test is a script of its own with tests of its own: its first question fails here.
EVERYTHING = ("tools", "groups", "registration", "resource-group", "infrastructure", "secrets", "databases")
REQUIRED = {"OPERATOR_IPS": '["203.0.113.7", "203.0.113.8"]'}


class Fake:
    """A folder with the programs, what they answer and what they were asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state.json"
        for name in ("az", "docker", "git", "psql", "sqlcmd"):
            (folder / name).write_text(FAKE)
            (folder / name).chmod(0o755)
        self.answer()

    def answer(self, *first: tuple[str, str]) -> None:
        cases = [f"*{shlex.quote(key)}*) printf '%s\\n' {shlex.quote(answer)} ;;" for key, answer in [*first, *ANSWERS]]
        (self.folder / "answers").write_text("\n".join(['case "$line" in', *cases, "esac"]) + "\n")

    def heal(self) -> None:
        (self.folder / "healed").touch()

    def deploy(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the script; calls are counted from here."""
        (self.folder / "calls").write_text("")
        known = {
            name: value for name, value in os.environ.items() if not name.endswith(("_ID", "_IDS", "_NAME", "_IPS"))
        }
        environment = {
            **known,
            **REQUIRED,
            **variables,
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "FAKE": str(self.folder),
            "DEPLOY_PAUSE_SECONDS": "0",
        }
        command = [DEPLOY, *arguments, "--yes", "--state", self.state]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    @property
    def calls(self) -> list[Call]:
        records = [record.split("\x1e") for record in (self.folder / "calls").read_text().split("\x1d")[:-1]]
        return [Call(words.split("\x1f"), *rest[:3], rest[3:]) for words, *rest in records]

    def lines(self, text: str = "") -> list[str]:
        return [str(call) for call in self.calls if text in str(call)]


class Run(NamedTuple):
    """The steps up to the databases, once for the module."""

    output: str
    state: str
    calls: list[Call]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    fake = Fake(tmp_path_factory.mktemp("run"))
    done = fake.deploy("prod", *EVERYTHING)
    assert done.returncode == 0, done.stderr
    return Run(done.stdout + done.stderr, fake.state.read_text(), fake.calls)


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)


@pytest.fixture
def deployed(fake: Fake, run: Run) -> Fake:
    """After the steps up to the databases."""
    fake.state.write_text(run.state)
    return fake


def test_a_dry_run_runs_nothing_and_prints_every_command_quoted(fake: Fake) -> None:
    done = fake.deploy("prod", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert fake.calls == []
    assert not fake.state.exists()
    commands = re.findall(r"^    (?! )(?:PG\S+ )*(?:az|psql|sqlcmd|git|infra/\S+) .*$", done.stdout, re.MULTILINE)
    assert len(commands) > 60
    for command in commands:
        words = shlex.split(command)
        assert words, command
        if "--filter" in words:
            assert re.fullmatch(r"(?:displayName|appId) eq '[^']+'", words[words.index("--filter") + 1]), command
        if "--query" in words:
            assert " --" not in words[words.index("--query") + 1]


def test_the_commands_of_a_dry_run_are_those_that_run(fake: Fake, run: Run) -> None:
    printed = fake.deploy("prod", *EVERYTHING, "--dry-run").stdout
    for words, *_ in run.calls:
        verbs = " ".join(words[: next((n for n, word in enumerate(words) if word.startswith("-")), len(words))])
        if verbs != "az keyvault secret list":  # only once there is a vault
            assert f"{verbs} " in printed, verbs


def test_values_of_later_steps_are_outputs_of_the_templates(deployed: Fake, run: Run) -> None:
    assert deployed.deploy("prod", "redirects").returncode == 0
    read = set(re.findall(r"self\.output\(f?\"(\w+)\"\)", (ROOT / "infra/deploying/steps.py").read_text()))
    assert read <= set(OUTPUTS)
    psql = "psql --host the-postgresHost --dbname postgres --username patient-flow-prod-database-admins"
    assert any(str(call).startswith(psql) for call in run.calls)
    uris = "--web-redirect-uris https://ui.x/.auth/login/aad/callback https://viewer.x/"
    assert any(uris in line for line in deployed.lines())


@pytest.mark.parametrize(
    "fail_at",
    ["group create --name rg", "deployment group create", "keyvault secret set", "psql", "schema.sql", "access.sql"],
)
def test_a_second_start_goes_on_where_the_first_one_failed(fake: Fake, fail_at: str) -> None:
    failed = fake.deploy("prod", FAIL_AT=fail_at)
    assert failed.returncode == 1
    assert fail_at.split()[0] in failed.stderr
    first = fake.lines()
    assert fail_at in first[-1] or "role assignment delete" in first[-1], "nothing runs after the failure"
    done = set(json.loads(fake.state.read_text())["done"])
    fake.heal()
    fake.deploy("prod", FAIL_AT="git status")
    again = fake.lines()
    assert any(fail_at in line for line in again)
    if "groups" in done:
        assert not any("ad group create" in line for line in again)
    if "databases: schema.sql" in done:
        assert not any("schema.sql" in line for line in again)


def test_a_role_that_was_taken_for_a_step_is_given_back_when_the_step_fails(deployed: Fake) -> None:
    deployed.deploy("prod", "secrets", FAIL_AT="keyvault secret set")
    taken = deployed.lines("role assignment create --role Key Vault Secrets Officer")
    assert len(taken) == len(deployed.lines("role assignment delete --role Key Vault Secrets Officer")) == 1


def test_no_secret_is_an_argument_or_printed_or_kept(run: Run) -> None:
    stored = {call.words[call.words.index("--name") + 1]: call.files[0] for call in run.calls if "set" in call.words}
    assert set(stored) == {"pseudonym-key", "erasure-key", "access-log-key", "sign-in-client-secret"}
    assert all(re.fullmatch(r"[0-9a-f]{64}", stored[name]) for name in stored if name != "sign-in-client-secret")
    assert len(set(stored.values())) == 4
    (psql,) = [call for call in run.calls if call.words[0] == "psql"]
    assert psql.password == "token-1"
    seen = run.output + run.state + "\n".join(map(str, run.calls))
    assert not any(value in seen for value in [*stored.values(), "token-1"])


def test_a_key_that_exists_is_never_replaced(deployed: Fake) -> None:
    deployed.answer(("keyvault secret list", "pseudonym-key\nerasure-key\naccess-log-key"))
    deployed.deploy("prod", "secrets")
    written = [line.split("--name ")[1].split()[0] for line in deployed.lines("keyvault secret set")]
    assert written == ["sign-in-client-secret"]


def test_what_exists_in_entra_is_used_and_what_was_exported_is_kept(fake: Fake) -> None:
    fake.answer(("ad group list", "found-1"))
    fake.deploy("prod", *EVERYTHING, VIEWERS_GROUP_ID="given-1")
    assert fake.lines("ad group create") == []
    kept = json.loads(fake.state.read_text())["variables"]
    assert (kept["VIEWERS_GROUP_ID"], kept["OPERATORS_GROUP_ID"]) == ("given-1", "found-1")
    assert kept["OPERATOR_IPS"] == REQUIRED["OPERATOR_IPS"]
    assert re.fullmatch(r"\d{4}-\d\d-01", kept["BUDGET_START_DATE"])


def test_postgresql_that_is_not_ready_for_its_administrator_is_asked_again(deployed: Fake) -> None:
    not_ready = "AadAuthOperationCannotBePerformedWhenServerIsNotAccessible"
    done = deployed.deploy("prod", "infrastructure", FAIL_AT="deployment group create", REASON=not_ready)
    assert done.returncode == 1
    assert len(deployed.lines("deployment group create")) > 1
    done = deployed.deploy("prod", "infrastructure", FAIL_AT="deployment group create", REASON="quota")
    assert len(deployed.lines("deployment group create")) == 1
    assert "quota" in done.stderr


def test_another_subscription_is_refused(fake: Fake) -> None:
    fake.deploy("prod", "tools")
    fake.answer(("account show", "subscription-2"))
    done = fake.deploy("prod", "tools")
    assert done.returncode == 1
    assert "az account set --subscription subscription-1" in done.stderr


def test_the_warehouses_scripts_run_whole_or_not_at_all_and_users_may_be_there(run: Run) -> None:
    ran = [call for call in run.calls if call.words[0] == "sqlcmd"]
    scripts = {Path(call.words[-1]).name: (call.words, call.files[0]) for call in ran}
    assert list(scripts) == ["master.sql", "schema.sql", "access.sql", "users.sql"]
    for name in ("schema.sql", "access.sql"):
        text = (ROOT / "infra/sql/mssql" / name).read_text()
        assert scripts[name][1] == f"SET XACT_ABORT ON\nGO\nBEGIN TRANSACTION\nGO\n{text}\nCOMMIT TRANSACTION\nGO\n"
    assert "TRANSACTION" not in scripts["master.sql"][1], "ALTER DATABASE is refused in a transaction"
    users = scripts["users.sql"][1]
    assert users.count("IF NOT EXISTS") == 3
    assert "WHERE NOT EXISTS (SELECT 1 FROM security.ReaderScope" in users
    for words, _ in scripts.values():
        assert "-b" in words
        assert "-C" not in words


def test_the_department_list_is_written_by_a_job_inside_with_all_that_the_job_declares(deployed: Fake) -> None:
    listed = ROOT / "patient_flow/contracts/departments.csv"
    done = deployed.deploy("prod", "departments", "--file", str(listed))
    assert done.returncode == 0, done.stderr
    (start,) = [call for call in deployed.calls if "rest" in call.words]
    assert "https://management.azure.com/job/start?api-version=2025-07-01" in start.words
    (container,) = json.loads(start.files[0])["containers"]
    assert container["env"][0] == {"name": "KEY", "secretRef": "key"}
    assert (container["image"], container["resources"]) == ("i", {"cpu": 1})
    assert gzip.decompress(base64.b64decode(container["env"][1]["value"])) == listed.read_bytes()
    # what the job runs, without the last command: the file arrives as it was
    unpack = container["args"][2].partition(" > ")[0]
    sent = container["env"][1]["value"]
    arrived = subprocess.run(
        ["sh", "-c", unpack], env={**os.environ, "DEPARTMENT_LIST": sent}, capture_output=True, check=True
    )
    assert arrived.stdout == listed.read_bytes()
    deployed.answer(("job execution show", "Failed"))
    failed = deployed.deploy("prod", "departments", "--file", str(listed))
    assert failed.returncode == 1
    assert "execution-1" in failed.stderr
    assert "ContainerAppConsoleLogs" in failed.stderr


def test_simulated_patients_stay_out_of_production(fake: Fake) -> None:
    done = fake.deploy("prod", "simulate")
    assert done.returncode == 1
    assert fake.calls == []


def test_the_pipelines_identity_may_assign_the_roles_of_the_templates_only(deployed: Fake) -> None:
    assert deployed.deploy("prod", "ci", "--repository", "hospital/flow").returncode == 0
    (condition,) = [call.words[-3] for call in deployed.calls if "--condition" in call.words]
    given = set(re.findall(r"[0-9a-f-]{36}", condition))
    guide = (ROOT / "infra/docs/deploy.md").read_text()
    assert given == set(re.findall(r"^\| `([0-9a-f-]{36})` \|", guide, re.MULTILINE))
    assert condition.count("(") == condition.count(")")
    subjects = [line.split("--subject ")[1].split()[0] for line in deployed.lines("federated-credential")]
    assert subjects == ["repo:hospital/flow:environment:prod", "repo:hospital/flow:environment:prod-what-if"]


def test_closing_deletes_the_rules_of_operators_then_deploys_without_them_then_locks(deployed: Fake) -> None:
    assert deployed.deploy("prod", "close").returncode == 0
    order = [
        line for line in deployed.lines() if re.search("resource delete|deployment group create|lock create", line)
    ]
    kinds = [" ".join(line.split()[1:3]) for line in order]
    assert kinds == ["resource delete"] * 4 + ["deployment group"] + ["lock create"] * 2
    assert [re.findall(r"server-\d/firewallRules/operator-\d", line)[0] for line in order[:4]] == [
        f"server-{server}/firewallRules/operator-{number}" for server in (1, 2) for number in (0, 1)
    ]
    (deployment,) = [call for call in deployed.calls if "deployment group create" in str(call)]
    assert deployment.operator_ips == "[]"
    assert deployment.words[-4:-2] == ["appsReady=true", "imageName=patient-flow:c0ffee"]


def test_a_checkout_with_changes_makes_no_image(deployed: Fake) -> None:
    deployed.answer(("git status", " M patient_flow/cli.py"))
    done = deployed.deploy("prod", "apps")
    assert done.returncode == 1
    assert "patient_flow/cli.py" in done.stderr
    assert deployed.lines("docker") == []


def test_apps_are_deployed_by_the_script_of_the_pipelines(deployed: Fake) -> None:
    assert deployed.deploy("prod", "apps").returncode == 0
    (deployment,) = [call for call in deployed.calls if "deployment group create" in str(call)]
    assert deployment.apps_ready == "true"


def test_an_old_az_and_an_unknown_step_are_refused(fake: Fake) -> None:
    fake.answer(("az version", "2.75.0"))
    assert "2.76" in fake.deploy("prod", "tools").stderr
    assert fake.deploy("prod", "everything").returncode == 2


def test_every_item_of_the_checklist_has_a_command_or_a_page_and_a_sign(deployed: Fake) -> None:
    shown = deployed.deploy("prod", "--checklist").stdout
    assert deployed.calls == []
    items = re.split(r"\n +\d+\. ", shown)[1:]
    assert len(items) >= 10
    for item in items:
        assert "worked: " in item
        assert re.search(r"\n +(?:az|infra/deploy|\w+='\S+' )|\.md", item), item
    assert "--vault-name the-vaultName" in shown
    assert "<" not in shown
