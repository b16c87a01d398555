"""What deploys and who may: the script of every deployment against an Azure that only takes notes, and the guide."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "infra" / "pipelines" / "deploy.sh"
SMOKE_TEST = DEPLOY.with_name("smoke-test.sh")
GUIDE = ROOT / "infra" / "docs" / "deploy.md"

# Says what the script asks for: one registry with the image, the number of jobs, how an execution ended.
AZ = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in
    "acr list"*) echo registry ;;
    "eventhubs namespace list"*) echo "$UNITS" ;;
    "deployment group create"*) echo "units ${THROUGHPUT_UNITS:-as declared}" >> "$CALLS" ;;
    "acr show"*) echo registry.azurecr.io ;;
    "containerapp job list"*) echo "$JOBS" ;;
    "containerapp job start"*) echo warehouse-init-1 ;;
    "containerapp job execution show"*) echo "$STATE" ;;
esac
"""


def deploy(folder: Path, *, jobs: int, state: str = "Succeeded", units: str = "") -> tuple[int, list[str]]:
    """Exit code of a deployment and what changed, in order: the first words of each command."""
    (folder / "az").write_text(AZ)
    (folder / "az").chmod(0o755)
    calls = folder / "calls"
    environment = {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "IMAGE_NAME": "patient-flow:new",
        "CALLS": str(calls),
        "JOBS": str(jobs),
        "STATE": state,
        "UNITS": units,
    }
    done = subprocess.run([DEPLOY, "rg", "prod"], env=environment, capture_output=True, text=True, check=False)
    changes = ("containerapp job update", "containerapp job start", "deployment group create")
    said = calls.read_text().splitlines()
    return done.returncode, [change for call in said for change in changes if call.startswith(change)]


def test_tables_are_there_before_the_code_that_writes_them(tmp_path: Path) -> None:
    code, changes = deploy(tmp_path, jobs=1)
    assert code == 0
    assert changes == ["containerapp job update", "containerapp job start", "deployment group create"]
    (update,) = [call for call in (tmp_path / "calls").read_text().splitlines() if "job update" in call]
    assert "--image registry.azurecr.io/patient-flow:new" in update


def test_the_first_deployment_makes_the_job_that_makes_the_tables(tmp_path: Path) -> None:
    code, changes = deploy(tmp_path, jobs=0)
    assert code == 0
    assert changes == ["deployment group create", "containerapp job start"]


@pytest.mark.parametrize(("units", "handed_over"), [("6", "units 6"), ("", "units as declared")])
def test_throughput_units_that_the_hub_grew_to_are_handed_over(tmp_path: Path, units: str, handed_over: str) -> None:
    deploy(tmp_path, jobs=1, units=units)
    assert handed_over in (tmp_path / "calls").read_text().splitlines()


@pytest.mark.parametrize("state", ["Failed", "Stopped"])
def test_new_code_stays_out_when_its_tables_could_not_be_made(tmp_path: Path, state: str) -> None:
    code, changes = deploy(tmp_path, jobs=1, state=state)
    assert code == 1
    assert "deployment group create" not in changes


# Everything runs and is closed; the log answers with $TICKS, or refuses.
AZ_THAT_RUNS = """#!/bin/sh
case "$*" in
    *allowedPrincipals*) echo "${GROUPS_OF_PAGE:-1}" ;;
    *registration.clientId*) echo client ;;
    *ingress.fqdn*) echo "page.example" ;;
    "ad app show"*) echo "$REGISTRATION" ;;
    *runningStatus*) printf 'Running\\tnewest\\tnewest\\n' ;;
    *"log-analytics query"*)
        echo "${AZURE_EXTENSION_USE_DYNAMIC_INSTALL:-asks}" >> "$CALLS"
        [ -n "$TICKS" ] || { echo "no right to read logs" >&2; exit 1; }
        echo "$TICKS" ;;
esac
"""


REGISTRATION = '{"tokens": true, "uris": ["https://page.example/.auth/login/aad/callback"]}'


def smoke_test(
    folder: Path, *, ticks: str, registration: str = REGISTRATION, groups: str = "1"
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """The smoke test without waiting, and how the CLI was told to get the extension that reads logs, per attempt."""
    for name, text in (("az", AZ_THAT_RUNS), ("curl", "#!/bin/sh\necho 401\n"), ("sleep", "#!/bin/sh\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    calls = folder / "calls"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AZURE")},
        "PATH": f"{folder}:{os.environ['PATH']}",
        "CALLS": str(calls),
        "TICKS": ticks,
        "REGISTRATION": registration,
        "GROUPS_OF_PAGE": groups,
    }
    done = subprocess.run([SMOKE_TEST, "rg"], env=environment, capture_output=True, text=True, check=False)
    return done, calls.read_text().splitlines() if calls.exists() else []


@pytest.mark.parametrize(
    ("registration", "groups", "reason"),
    [
        (REGISTRATION.replace("true", "false"), "1", "--enable-id-token-issuance true"),
        (REGISTRATION.replace("page.example", "other.example"), "1", "redirect URI is missing"),
        (REGISTRATION, "0", "has no sign-in for a group"),
    ],
    ids=["no ID tokens", "no redirect", "no group"],
)
def test_a_page_that_nobody_or_everybody_can_open_fails_the_smoke_test(
    tmp_path: Path, registration: str, groups: str, reason: str
) -> None:
    done, _ = smoke_test(tmp_path, ticks="3", registration=registration, groups=groups)
    assert done.returncode == 1
    assert reason in done.stderr


def test_a_smoke_test_gets_the_extension_that_reads_logs_without_asking(tmp_path: Path) -> None:
    """Its question would be lost with the errors of attempts, and the test would wait for an answer for ever."""
    done, told = smoke_test(tmp_path, ticks="3")
    assert done.returncode == 0, done.stderr
    assert told == ["yes_without_prompt"]


def test_a_smoke_test_that_cannot_read_logs_says_once_why(tmp_path: Path) -> None:
    done, told = smoke_test(tmp_path, ticks="")
    assert done.returncode == 1
    assert len(told) > 1
    assert done.stderr.count("no right to read logs") == 1
    assert "no tick of the sensor" in done.stderr


def test_a_what_if_needs_no_right_to_write() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/deploy-environment.yml").read_text())
    commands = [step["run"] for step in workflow["jobs"]["what-if"]["steps"] if "what-if" in step.get("run", "")]
    assert commands
    for command in commands:
        assert command.count("az deployment group what-if") == command.count("--validation-level ProviderNoRbac")
    (role,) = re.findall(r"^Give `what-if` a custom role with (.*?)\n\n", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    actions = {action for action in re.findall(r"`(\S+)`", role) if "/" in action}
    assert actions == {"*/read", *(f"Microsoft.Resources/deployments/{verb}/action" for verb in ("validate", "whatIf"))}


def test_every_store_is_locked_and_every_firewall_rule_for_operators_is_taken_back() -> None:
    """Incremental deployments delete neither; the guide's last step names each kind of resource that needs it."""
    templates = {path.stem: path.read_text() for path in (ROOT / "infra/bicep/modules").glob("*.bicep")}
    stores = ("lake", "eventhub", "keyvault", "postgres", "warehouse-sql", "warehouse-synapse")
    outermost = [re.search(r"^resource \w+ '([\w.]+/\w+)@", templates[name], re.MULTILINE) for name in stores]
    opened = {kind for text in templates.values() for kind in re.findall(r"'([\w.]+/\w+)/firewallRules@", text)}
    taken_back, locked = re.findall(r"contains\(\[([^]]+)\], type\)", GUIDE.read_text())
    assert set(re.findall(r"'([^']+)'", taken_back)) == opened
    assert set(re.findall(r"'([^']+)'", locked)) == {found[1] for found in outermost if found}


def test_the_deployments_identity_may_give_the_roles_of_the_templates_and_no_other() -> None:
    templates = "\n".join(path.read_text() for path in (ROOT / "infra/bicep").rglob("*.bicep"))
    given = set(re.findall(r"roleDefinitions',\s+'([0-9a-f-]{36})'", templates))
    assert given
    assert set(re.findall(r"^\| `([0-9a-f-]{36})` \|", GUIDE.read_text(), re.MULTILINE)) == given


def test_the_warehouses_scripts_run_where_they_belong_over_a_connection_that_is_checked() -> None:
    """``-C`` would trust any certificate; without ``-b`` sqlcmd goes on after an error and reports success."""
    commands = re.findall(r"^sqlcmd .*", GUIDE.read_text(), re.MULTILINE)
    assert all(" -b " in command and " -C " not in command for command in commands)
    places = dict(
        found.groups()[::-1] for command in commands if (found := re.search(r"-d (\w+) .* -i (\S+)", command))
    )
    scripts = {path.name for path in (ROOT / "infra/sql/synapse").glob("*.sql")}
    assert places == dict.fromkeys(scripts, "patient_flow") | {"master.sql": "master"}


def test_the_loaders_share_of_a_pool_is_set_when_its_role_is_there() -> None:
    """A classifier names the role, which ``access.sql`` makes."""
    run = re.findall(r"^sqlcmd .* -i (\S+)", GUIDE.read_text(), re.MULTILINE)
    assert run == ["master.sql", "schema.sql", "access.sql", "database.sql"]


@pytest.mark.parametrize("page", ["deploy.md", "powerbi.md"])
def test_whom_a_page_makes_a_user_it_grants_something_as_well(page: str) -> None:
    """Fabric refuses CREATE USER, and makes a user with the first GRANT."""
    text = (GUIDE.parent / page).read_text()
    created = set(re.findall(r"CREATE USER \[(\S+)\]", text))
    assert created
    assert created <= set(re.findall(r"GRANT SELECT ON \S+ TO \[(\S+?)\]", text))


def test_rights_on_secrets_are_given_before_the_apps_need_them() -> None:
    """A role takes minutes to count: one that comes with the apps comes too late for them."""
    steps = re.split(r"^## (?=\d)", GUIDE.read_text(), flags=re.MULTILINE)
    (secrets,) = (step for step in steps if step.startswith("4."))
    assert re.search(r"az deployment group create .*secretsExist=true", secrets)
    assert secrets.rindex("keyvault secret set") < secrets.index("secretsExist=true")


def test_rights_that_an_operator_takes_for_an_hour_are_given_back() -> None:
    text = GUIDE.read_text()
    taken = re.findall(r"assignment create --role (\"[^\"]+\") --assignee-object-id \$ME .* --scope (\$\w+)", text)
    assert len(taken) == 1
    assert re.findall(r"assignment delete --role (\"[^\"]+\") --assignee \$ME --scope (\$\w+)", text) == taken


def test_an_acl_that_is_set_is_a_whole_one() -> None:
    """``set`` replaces the list; one without owner, owning group and others is refused."""
    (acl,) = re.findall(r'fs access set --acl "([^"]+)"', GUIDE.read_text())
    assert {"user:", "group:", "other:"} <= {entry.rpartition(":")[0] for entry in acl.split(",")}
