"""The rules that the Bicep keeps as a text; test_templates.py reads what Microsoft's compiler makes of it.

checkov runs beside the tests (infra/bicep/.checkov.yaml).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from patient_flow.stores.lake.catalog import EXPORTS
from patient_flow.stores.staging import FOLDER

ROOT = Path(__file__).parents[2]
BICEP = ROOT / "infra" / "bicep"
FILES = sorted(BICEP.rglob("*.bicep"))
MAIN = BICEP / "main.bicep"
PARAMETER_FILES = sorted(BICEP.glob("*.bicepparam"))


def _parameters(path: Path) -> set[str]:
    return set(re.findall(r"^param (\w+) ", path.read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_parameter_is_described(path: Path) -> None:
    blocks = path.read_text().split("\n\n")
    declared = [block for block in blocks if re.search(r"^param ", block, re.MULTILINE)]
    assert [block for block in declared if not re.search(r"^@description\('", block, re.MULTILINE)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_address_of_one_azure_cloud_is_written_out(path: Path) -> None:
    """Hosts that `az.environment()` knows; the linter lets nothing but descriptions and comments name them."""
    text = re.sub(r"^(?:@description|//).*$", "", path.read_text(), flags=re.MULTILINE)
    hosts = r"\b(?:core|database|graph)\.windows\.net|microsoftonline\.com|(?:vault|management)\.azure\.(?:net|com)"
    assert re.findall(hosts, text) == []


def test_development_and_production_exist() -> None:
    assert [path.name for path in PARAMETER_FILES] == ["dev.bicepparam", "prod.bicepparam"]


def test_deployments_hand_over_what_parameter_files_read() -> None:
    read = {
        name for path in PARAMETER_FILES for name in re.findall(r"readEnvironmentVariable\('(\w+)'", path.read_text())
    }
    workflow = yaml.safe_load((ROOT / ".github/workflows/deploy-environment.yml").read_text())
    from_pipeline = set(workflow["env"])
    assert from_pipeline == {"APPS_READY", "IMAGE_NAME"}
    for job in workflow["jobs"].values():
        assert any(step.get("env") == {"VALUES": "${{ toJSON(vars) }}"} for step in job["steps"])
    # The others are variables of the environment: whoever sets them up finds their names in the guide.
    guide = (ROOT / "infra/docs/deploy.md").read_text()
    assert {name for name in read - from_pipeline if name not in guide} == set()


def test_secrets_may_be_read_before_the_apps_are_ready() -> None:
    """On Kubernetes the apps never are, and the pipeline needs its key all the same."""
    assert "secretsExist: secretsExist" in MAIN.read_text()
    assert "param secretsExist bool = appsReady" in MAIN.read_text()
    assert "secretsExist=true" in (ROOT / "infra/kubernetes/README.md").read_text()


def test_jobs_that_pages_and_pipelines_start_exist_and_keep_their_settings() -> None:
    """A job that is started with an image or arguments of its own loses its environment."""
    declared = set(re.findall(r"name: '(warehouse-\w+)'", (BICEP / "modules/apps.bicep").read_text()))
    places = [*(ROOT / "infra/docs").glob("*.md"), *(ROOT / "infra/pipelines").iterdir()]
    started = [
        (job, options)
        for place in places
        for job, options in re.findall(r"job start (?:-n|--name) ([\w-]+)([^`)\n]*)", place.read_text())
    ]
    assert {job for job, _ in started} == declared
    assert [options for _, options in started if re.search(r"--(?:image|args|command|env-vars)", options)] == []


def test_no_cap_drops_the_audit_trail_of_production() -> None:
    """An alert on the volume stands in its place."""
    assert "param logDailyQuotaGb = -1\n" in (BICEP / "prod.bicepparam").read_text()
    assert "Usage | where IsBillable" in (BICEP / "modules/alerts.bicep").read_text()


@pytest.mark.parametrize("path", PARAMETER_FILES, ids=lambda path: path.name)
def test_budgets_are_above_the_estimate_and_start_when_the_first_deployment_says(path: Path) -> None:
    """Azure refuses a budget whose first month is over."""
    text = path.read_text()
    page = (ROOT / "infra/docs/cost.md").read_text()
    (total,) = re.findall(r"^\| \*\*a month, about\*\* \|(.*)\|$", page, re.MULTILINE)
    heads = re.findall(r"^\| service \|(.*)\|$", page, re.MULTILINE)[0].split("|")
    sums = [int(re.sub(r"\D", "", cell)) for cell in total.split("|")]
    estimates = [amount for head, amount in zip(heads, sums, strict=True) if path.name in head]
    assert len(estimates) == 1
    assert int(re.findall(r"^param monthlyBudget = (\d+)$", text, re.MULTILINE)[0]) > estimates[0]
    assert "param budgetStartDate = readEnvironmentVariable('BUDGET_START_DATE'," in text


def test_sign_in_by_key_or_password_is_disabled() -> None:
    everything = "\n".join(path.read_text() for path in FILES)
    for refused in ("allowSharedKeyAccess: false", "adminUserEnabled: false", "passwordAuth: 'Disabled'"):
        assert refused in everything
    assert everything.count("disableLocalAuth: true") == 2
    assert everything.count("nlyAuthentication: true") == 2
    assert not re.search(r"listKeys|@secure|administratorLoginPassword|connectionString", everything)


def test_roles_are_given_on_containers_hubs_and_secrets_never_on_the_whole_group() -> None:
    """The two exceptions are named: signing of links, which opens nothing, and pulling of images."""
    scopes = {
        (path.name, scope)
        for path in FILES
        for body in re.findall(r"roleAssignments@[\d-]+' = (.*?)\n +properties", path.read_text(), re.DOTALL)
        for scope in re.findall(r"scope: (\S+)", body)
    }
    whole = {("lake.bicep", "account"), ("registry.bicep", "registry")}
    narrow = {"containers[i]", "containers[2]", "containers[3]", "containers[4]", "hub", "gold", "workspaceFiles"}
    narrow |= {"keys[number]", "signInSecret", "alertSecrets[number]"}
    assert {scope for scope in scopes if scope not in whole and scope[1] not in narrow} == set()
    assert whole <= scopes


def test_lifecycle_rules_delete_what_is_of_passing_use_and_nothing_that_delta_owns() -> None:
    """Files of a Delta table are deleted by VACUUM; a rule that did would break the table."""
    text = (BICEP / "modules/lake.bicep").read_text()
    deleted = set()
    for rule in text.split("type: 'Lifecycle'")[1:]:
        (listed,) = re.findall(r"prefixMatch: \[([^]]+)\]", rule)
        prefixes = set(re.findall(r"'([\w/-]+/)'", listed))
        assert prefixes
        if re.search(r"\bdelete: \{", rule):
            deleted |= prefixes
    staging = {f"{layer}/{FOLDER}/" for layer in ("bronze", "gold")}
    assert deleted == {"capture/", "dagster-logs/", f"gold/{EXPORTS}/", *staging}


def test_what_is_kept_for_a_week_does_not_pay_for_a_month_in_the_cool_tier() -> None:
    lake = (BICEP / "modules/lake.bicep").read_text()
    (rule,) = re.findall(r"'capture/'.*?delete: \{", lake, re.DOTALL)
    assert re.search(r"tierToCool: captureRetentionDays > 30\s+\? \{", rule)


def test_the_code_location_may_have_more_cores_than_consumption_has() -> None:
    for path in PARAMETER_FILES:
        text = path.read_text()
        (cores,) = re.findall(r"^param pipelineCpu = '([\d.]+)'$", text, re.MULTILINE)
        assert float(cores) <= 4 or "param pipelineProfile = 'D" in text
    assert "workloadProfileName: pipelineProfile" in (BICEP / "modules/apps.bicep").read_text()


def test_a_region_without_zones_is_asked_for_none() -> None:
    """Where the paired region has none, a deployment that spreads over them is refused."""
    written = re.compile(r"\b(?:zoneRedundant|isZoneRedundant|isHighlyAvailable|zoneRedundancy): (\S.*)$", re.MULTILINE)
    assert all("hasZones" in value for value in written.findall(MAIN.read_text()))
    for path in (BICEP / "modules").glob("*.bicep"):
        assert not re.search(r"^ +zone(?:Redundant|Redundancy): (?:true|'Enabled')", path.read_text(), re.MULTILINE)


def test_options_that_pages_give_to_a_deployment_are_parameters() -> None:
    declared = _parameters(MAIN)
    pages = [*(ROOT / "infra/docs").glob("*.md"), ROOT / "infra/kubernetes/README.md"]
    given = {
        option
        for page in pages
        for options in re.findall(r"--parameters \S+\.bicepparam((?:\s+\\?\s*\w+=\S+)+)", page.read_text())
        for option in re.findall(r"(\w+)=", options)
    }
    assert {"hasZones", "secretsExist", "addressPrefix", "appsPrefix", "endpointsPrefix"} <= given
    assert given <= declared


def test_every_service_that_holds_data_is_audited() -> None:
    for name in ("lake", "eventhub", "keyvault", "registry", "postgres", "warehouse-synapse", "warehouse-sql", "apps"):
        text = (BICEP / f"modules/{name}.bicep").read_text()
        assert "Microsoft.Insights/diagnosticSettings" in text, name


def test_status_codes_of_storage_are_compared_as_text() -> None:
    """The column is one of text: a comparison with a number is an error, and the alert would never come."""
    alerts = (BICEP / "modules/alerts.bicep").read_text()
    assert re.findall(r"\bStatusCode\S* == (\S+)", alerts) == ['"403"']


def test_what_checkov_leaves_out_has_a_reason() -> None:
    lines = (BICEP / ".checkov.yaml").read_text().splitlines()
    skipped = [line for line in lines if line.lstrip().startswith("- CKV")]
    assert skipped
    assert [line for line in skipped if not re.search(r"CKV_AZURE_\d+ +# .{20,}", line)] == []
