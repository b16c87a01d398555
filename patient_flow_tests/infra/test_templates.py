"""The templates as Azure evaluates them: resources with their values, by Microsoft's own compiler.

``*.snapshot.json`` beside the parameter files are committed: they show in review what a change does to the resources,
and many tests read them. The compiler is found in PATIENT_FLOW_BICEP (``az bicep install`` puts it to
``~/.azure/bin/bicep``), or in the shared tools beside the checkout; tests that need it skip where there is none.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from patient_flow.cli import cli
from patient_flow.settings import AlertSettings, Settings
from patient_flow_tests.infra import bicep

ROOT = Path(__file__).parents[2]
BICEP = ROOT / "infra" / "bicep"
ENVIRONMENTS = ["dev", "prod"]
needs_compiler = pytest.mark.skipif(
    not bicep.COMPILER.is_file(),
    reason="no Bicep compiler; `az bicep install`, then PATIENT_FLOW_BICEP=~/.azure/bin/bicep",
)

# Zone of each part of a service that a private endpoint exposes (Microsoft's list of private DNS zones).
ZONES = {
    "blob": "privatelink.blob.",
    "dfs": "privatelink.dfs.",
    "namespace": "privatelink.servicebus.windows.net",
    "vault": "privatelink.vaultcore.azure.net",
    "registry": "privatelink.azurecr.io",
    "postgresqlServer": "privatelink.postgres.database.azure.com",
    "sqlServer": "privatelink{0}', environment().suffixes.sqlServerHostname",
    "Sql": "privatelink.sql.azuresynapse.net",
}

# Metrics and the aggregations that Azure Monitor lists for them (learn.microsoft.com, "Supported metrics").
METRICS = {
    ("Microsoft.EventHub/namespaces", "ThrottledRequests"): {"Total"},
    ("Microsoft.EventHub/namespaces", "IncomingMessages"): {"Total"},
    ("Microsoft.EventHub/namespaces", "CaptureBacklog"): {"Total"},
    ("Microsoft.Storage/storageAccounts", "Availability"): {"Average", "Minimum", "Maximum"},
    ("Microsoft.DBforPostgreSQL/flexibleServers", "storage_percent"): {"Average", "Minimum", "Maximum"},
    ("Microsoft.DBforPostgreSQL/flexibleServers", "cpu_percent"): {"Average", "Minimum", "Maximum"},
    ("Microsoft.KeyVault/vaults", "Availability"): {"Average"},
    ("Microsoft.Sql/servers/databases", "dtu_consumption_percent"): {"Average", "Minimum", "Maximum"},
    ("Microsoft.Sql/servers/databases", "cpu_percent"): {"Average", "Minimum", "Maximum"},
    ("Microsoft.Synapse/workspaces/sqlPools", "DWUUsedPercent"): {"Average", "Minimum", "Maximum"},
}

# Naming rules of Azure Resource Manager for what has a limit that a long workload or environment could reach.
NAMES = {
    "Microsoft.Storage/storageAccounts": r"[a-z0-9]{3,24}",
    "Microsoft.KeyVault/vaults": r"[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]",
    "Microsoft.ContainerRegistry/registries": r"[A-Za-z0-9]{5,50}",
    "Microsoft.EventHub/namespaces": r"[A-Za-z][A-Za-z0-9-]{4,48}[A-Za-z0-9]",
    "Microsoft.DBforPostgreSQL/flexibleServers": r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]",
    "Microsoft.Sql/servers": r"[a-z0-9][a-z0-9-]{0,61}[a-z0-9]",
    "Microsoft.Synapse/workspaces": r"(?!.*-ondemand)[a-z0-9][a-z0-9-]{0,43}[a-z0-9]",
    "Microsoft.App/managedEnvironments": r"[a-z][a-z0-9-]{0,58}[a-z0-9]",
    "Microsoft.App/containerApps": r"[a-z][a-z0-9-]{0,30}[a-z0-9]",
    "Microsoft.App/jobs": r"[a-z][a-z0-9-]{0,30}[a-z0-9]",
    "Microsoft.Network/privateEndpoints": r"[A-Za-z0-9][\w.-]{0,62}\w",
    "Microsoft.ManagedIdentity/userAssignedIdentities": r"[A-Za-z0-9][\w-]{2,127}",
    "Microsoft.OperationalInsights/workspaces": r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]",
}

Resource = dict[str, Any]
FULL = """
param appsReady = true
param operatorIps = ['203.0.113.7', '203.0.113.8']
param producerIpRanges = ['198.51.100.0/24']
param producerPrincipalIds = ['61111111-1111-1111-1111-111111111111', '61111111-1111-1111-1111-111111111112']
param clientIpRanges = ['192.0.2.0/24']
param analystsGroupId = '71111111-1111-1111-1111-111111111111'
param alertEmails = ['a@example.org', 'b@example.org']
param dnsZonesResourceGroup = 'rg-dns'
param dnsServers = ['10.0.0.4']
param teamsWebhookExists = true
param bedTeamsWebhookExists = true
param smtpPasswordExists = true
param hospitalsSend = true
param dashboardHosts = ['flow.hospital.example']
"""
SYNAPSE = """
param warehouseKind = 'synapse'
param workload = 'patients'
param environmentName = 'stage'
"""
FABRIC = """
param appsReady = true
param warehouseKind = 'fabric'
param fabricHost = 'x.datawarehouse.fabric.microsoft.com'
param fabricDatabase = 'flow'
param fabricWorkspaceIds = ['81111111-1111-1111-1111-111111111111']
"""
VARIANTS = {
    "prod without apps": ("prod", "param appsReady = false"),
    "prod full": ("prod", FULL),
    "longest names on synapse": ("prod", FULL + SYNAPSE),
    "fabric": ("prod", FABRIC),
}


@functools.cache
def committed(environment: str) -> list[Resource]:
    """The resources of an environment with its apps, from the committed snapshot."""
    snapshot: dict[str, list[Resource]] = json.loads((BICEP / f"{environment}.snapshot.json").read_text())
    return snapshot["predictedResources"]


@functools.cache
def variant(name: str) -> list[Resource]:
    """The resources of a variant, evaluated by the compiler in a copy of the folder."""
    environment, parameters = VARIANTS[name]
    return bicep.evaluate(environment, parameters)


CASES = [
    *(pytest.param(functools.partial(committed, name), id=name) for name in ENVIRONMENTS),
    *(pytest.param(functools.partial(variant, name), id=name, marks=needs_compiler) for name in VARIANTS),
]
every_case = pytest.mark.parametrize("resources", CASES)


def of_type(resources: list[Resource], kind: str) -> list[Resource]:
    return [resource for resource in resources if resource["type"] == kind]


def environment_of(app: Resource) -> dict[str, str]:
    """Settings of an app; one whose value only the deployment knows has the text of its expression."""
    (container,) = app["properties"]["template"]["containers"]
    if isinstance(container["env"], list):
        return {entry["name"]: entry.get("value", entry.get("secretRef")) for entry in container["env"]}
    names = re.split(r"'name', '(\w+)'", container["env"])
    return dict(zip(names[1::2], names[2::2], strict=True))


# --- the compiler


@needs_compiler
def test_the_templates_compile_without_a_warning_under_every_rule_of_the_linter() -> None:
    assert bicep.run("lint", BICEP / "main.bicep") == ""
    for name in ENVIRONMENTS:
        assert bicep.run("lint", BICEP / f"{name}.bicepparam") == ""


@needs_compiler
def test_the_templates_are_formatted_as_the_compiler_formats_them(tmp_path: Path) -> None:
    shutil.copytree(BICEP, tmp_path / "bicep")
    for pattern in ("**/*.bicep", "*.bicepparam"):
        bicep.run("format", "--pattern", pattern, folder=tmp_path / "bicep")
    changed = [
        path.relative_to(BICEP).as_posix()
        for path in [*BICEP.rglob("*.bicep"), *BICEP.glob("*.bicepparam")]
        if path.read_text() != (tmp_path / "bicep" / path.relative_to(BICEP)).read_text()
    ]
    assert changed == []


@needs_compiler
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_committed_snapshot_is_what_the_templates_say(environment: str) -> None:
    """`infra/bicep/snapshot.sh` writes both again."""
    assert bicep.evaluate(environment, "param appsReady = true") == committed(environment)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_groups_and_sign_in_have_no_default(environment: str) -> None:
    text = (BICEP / f"{environment}.bicepparam").read_text()
    for name in bicep.PEOPLE:
        assert f"readEnvironmentVariable('{name}')" in text


@needs_compiler
@pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
def test_a_deployment_without_sign_in_is_refused(value: str | None) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        bicep.evaluate("prod", "", SIGN_IN_CLIENT_ID=value)


def test_every_rule_of_the_linter_that_is_off_by_default_is_on() -> None:
    text = re.sub(r"^\s*//.*$", "", (BICEP / "bicepconfig.json").read_text(), flags=re.MULTILINE)
    rules = json.loads(text)["analyzers"]["core"]["rules"]
    assert {rule["level"] for rule in rules.values()} == {"warning"}


# --- pages


@every_case
def test_no_page_is_without_sign_in_and_groups(resources: functools.partial[list[Resource]]) -> None:
    made = resources()
    configured = {
        config["id"].split("/")[-3]: config["properties"]
        for config in of_type(made, "Microsoft.App/containerApps/authConfigs")
    }
    for app in of_type(made, "Microsoft.App/containerApps"):
        ingress = app["properties"]["configuration"].get("ingress") or {"external": False}
        if not ingress["external"]:
            continue
        properties = configured[app["name"]]
        assert properties["platform"]["enabled"]
        assert properties["globalValidation"]["unauthenticatedClientAction"] == "RedirectToLoginPage"
        provider = properties["identityProviders"]["azureActiveDirectory"]
        assert len(provider["registration"]["clientId"]) == 36
        groups = provider["validation"]["defaultAuthorizationPolicy"]["allowedPrincipals"]["groups"]
        assert groups
        assert all(len(group) == 36 for group in groups)
        assert ingress["ipSecurityRestrictions"]
        assert ingress["allowInsecure"] is False
        secrets = {secret["name"] for secret in app["properties"]["configuration"]["secrets"]}
        assert provider["registration"]["clientSecretSettingName"] in secrets


@every_case
def test_the_apps_are_five_or_none(resources: functools.partial[list[Resource]]) -> None:
    assert {app["name"] for app in of_type(resources(), "Microsoft.App/containerApps")} in (
        set(),
        {"code", "daemon", "ui", "viewer", "dashboard"},
    )


def test_without_addresses_development_admits_nobody_and_production_its_network() -> None:
    ranges = {
        name: {
            rule["ipAddressRange"]
            for app in of_type(committed(name), "Microsoft.App/containerApps")
            for rule in (app["properties"]["configuration"].get("ingress") or {}).get("ipSecurityRestrictions", [])
        }
        for name in ENVIRONMENTS
    }
    assert ranges == {"dev": {"127.0.0.1/32"}, "prod": {"0.0.0.0/0"}}
    (environment,) = of_type(committed("prod"), "Microsoft.App/managedEnvironments")
    assert environment["properties"]["vnetConfiguration"]["internal"] is True


@every_case
def test_cores_and_memory_are_a_pair_that_consumption_has(resources: functools.partial[list[Resource]]) -> None:
    for app in [*of_type(resources(), "Microsoft.App/containerApps"), *of_type(resources(), "Microsoft.App/jobs")]:
        for container in app["properties"]["template"]["containers"]:
            size = container["resources"]
            assert size["memory"] == f"{2 * size['cpu']:g}Gi"
            assert size["cpu"] <= 4


def test_the_code_location_may_import_for_five_minutes() -> None:
    for name in ENVIRONMENTS:
        (code,) = [app for app in of_type(committed(name), "Microsoft.App/containerApps") if app["name"] == "code"]
        (probe,) = [p for p in code["properties"]["template"]["containers"][0]["probes"] if p["type"] == "Startup"]
        assert probe["periodSeconds"] * probe["failureThreshold"] >= 300
        assert probe["failureThreshold"] <= 30


# --- names, networks


@every_case
def test_names_keep_their_limits(resources: functools.partial[list[Resource]]) -> None:
    for resource in resources():
        rule = NAMES.get(resource["type"])
        if rule is not None:
            assert re.fullmatch(rule, resource["name"]), f"{resource['type']}: {resource['name']}"
            assert "--" not in resource["name"]


@every_case
def test_every_private_endpoint_has_its_zone_and_the_zone_its_link(
    resources: functools.partial[list[Resource]],
) -> None:
    made = resources()
    configs = {
        group["id"].split("/privateEndpoints/")[1].split("/")[0]: group["properties"]["privateDnsZoneConfigs"]
        for group in of_type(made, "Microsoft.Network/privateEndpoints/privateDnsZoneGroups")
    }
    links = [link["id"] for link in of_type(made, "Microsoft.Network/privateDnsZones/virtualNetworkLinks")]
    endpoints = of_type(made, "Microsoft.Network/privateEndpoints")
    assert len(endpoints) >= 5
    for endpoint in endpoints:
        (connection,) = endpoint["properties"]["privateLinkServiceConnections"]
        (group,) = connection["properties"]["groupIds"]
        (config,) = configs[endpoint["name"]]
        zone = config["properties"]["privateDnsZoneId"]
        assert ZONES[group] in zone
        assert any(ZONES[group] in link for link in links), f"{group}: its zone is linked to no network"
        # the zone's link is in the zone's own resource group
        (place,) = re.findall(r"resourceGroups/([\w-]+)|'(rg[\w-]*)'", zone)
        assert all(next(filter(None, place)) in link for link in links if ZONES[group] in link)


@every_case
def test_a_subnet_that_somebody_adds_survives_the_next_deployment(resources: functools.partial[list[Resource]]) -> None:
    (network,) = of_type(resources(), "Microsoft.Network/virtualNetworks")
    assert "subnets" not in network["properties"]
    assert {
        subnet["id"].split("/")[-1] for subnet in of_type(resources(), "Microsoft.Network/virtualNetworks/subnets")
    } == {
        "apps",
        "endpoints",
        "operations",
    }


def test_production_has_no_public_address_but_that_of_the_lake_which_denies_by_default() -> None:
    for resource in committed("prod"):
        access = resource.get("properties", {}).get("publicNetworkAccess")
        if access is None:
            continue
        if resource["type"] == "Microsoft.Storage/storageAccounts":
            assert resource["properties"]["networkAcls"]["defaultAction"] == "Deny"
        else:
            assert access == "Disabled", resource["type"]


@needs_compiler
def test_a_fabric_workspace_reads_exports_through_the_lakes_firewall() -> None:
    (lake,) = of_type(variant("fabric"), "Microsoft.Storage/storageAccounts")
    (rule,) = lake["properties"]["networkAcls"]["resourceAccessRules"]
    assert rule["resourceId"].endswith(
        "/resourcegroups/Fabric/providers/Microsoft.Fabric/workspaces/81111111-1111-1111-1111-111111111111"
    )
    assert lake["properties"]["publicNetworkAccess"] == "Enabled"
    assert of_type(variant("fabric"), "Microsoft.Sql/servers") == []
    assert of_type(variant("fabric"), "Microsoft.Synapse/workspaces") == []


# --- services


def test_a_disk_never_grows_beyond_the_template() -> None:
    """A server that grew by itself refuses every later deployment: its disk cannot shrink."""
    for name in ENVIRONMENTS:
        (server,) = of_type(committed(name), "Microsoft.DBforPostgreSQL/flexibleServers")
        assert server["properties"]["storage"]["autoGrow"] == "Disabled"
        assert any(
            alert["name"].endswith("dagster-storage-full")
            for alert in of_type(committed(name), "Microsoft.Insights/metricAlerts")
        )


def test_production_can_purge_no_vault_and_development_can() -> None:
    protected = {}
    for name in ENVIRONMENTS:
        (vault,) = of_type(committed(name), "Microsoft.KeyVault/vaults")
        protected[name] = (
            vault["properties"].get("enablePurgeProtection"),
            vault["properties"]["softDeleteRetentionInDays"],
        )
    assert protected == {"dev": (None, 7), "prod": (True, 90)}


@needs_compiler
def test_throughput_units_that_the_namespace_grew_to_are_kept() -> None:
    (namespace,) = of_type(bicep.evaluate("prod", "", THROUGHPUT_UNITS="7"), "Microsoft.EventHub/namespaces")
    assert namespace["sku"]["capacity"] == 7
    assert namespace["properties"]["maximumThroughputUnits"] == 10


@needs_compiler
def test_postgresql_changes_one_thing_at_a_time_even_without_operators() -> None:
    """Waiting for an empty loop is waiting for nothing: the order must hold without it."""
    template = bicep.build(BICEP / "modules" / "postgres.bicep")
    waits = {name: set(resource.get("dependsOn", [])) for name, resource in template["resources"].items()}
    children = {name for name, resource in template["resources"].items() if resource["type"].count("/") == 2}
    assert "firewall" in children
    assert template["resources"]["firewall"]["copy"] == {
        **template["resources"]["firewall"]["copy"],
        "mode": "serial",
        "batchSize": 1,
    }
    for gone in ({"firewall"}, set()):
        left = {name: after - gone for name, after in waits.items() if name not in gone}
        order = sorted(children - gone, key=lambda name: len(_all_before(left, name)))
        for earlier, later in itertools.pairwise(order):
            assert earlier in _all_before(left, later), f"{earlier} and {later} at the same moment"
        assert order[-1] == "administrators"


def _all_before(waits: dict[str, set[str]], name: str) -> set[str]:
    direct = waits.get(name, set())
    return direct | {other for one in direct for other in _all_before(waits, one)}


@needs_compiler
def test_subnets_and_parts_of_the_hub_wait_for_each_other() -> None:
    network = bicep.build(BICEP / "modules" / "network.bicep")["resources"]
    subnets = {name: set(r["dependsOn"]) for name, r in network.items() if r["type"].endswith("/subnets")}
    assert sorted(len(_all_before(subnets, name) & set(subnets)) for name in subnets) == [0, 1, 2]
    hub = bicep.build(BICEP / "modules" / "eventhub.bicep")["resources"]
    assert "hub" in hub["firewall"]["dependsOn"]


@every_case
def test_a_database_gets_one_policy_and_its_default_encryption(resources: functools.partial[list[Resource]]) -> None:
    """The service refuses two changes of a database at once."""
    children = {r["type"] for r in resources() if r["type"].startswith("Microsoft.Sql/servers/databases/")}
    assert children <= {"Microsoft.Sql/servers/databases/backupShortTermRetentionPolicies"}


@needs_compiler
def test_a_synapse_workspace_has_a_first_administrator_and_no_password() -> None:
    (workspace,) = of_type(variant("longest names on synapse"), "Microsoft.Synapse/workspaces")
    properties = workspace["properties"]
    assert (
        properties["cspWorkspaceAdminProperties"]["initialWorkspaceAdminObjectId"]
        == bicep.PEOPLE["DATABASE_ADMINS_GROUP_ID"]
    )
    assert "sqlAdministratorLogin" not in properties


def test_role_assignments_are_named_by_the_principal_that_they_are_for() -> None:
    """An assignment of a deleted identity keeps its name: the next identity needs another."""
    for path in (BICEP / "modules").glob("*.bicep"):
        for body in re.findall(r"roleAssignments@[\d-]+' = (.*?)\n +properties", path.read_text(), re.DOTALL):
            (name,) = re.findall(r"name: guid\(([^)]*)\)", body)
            assert re.search(r"rincipal|producer|GroupId", name), f"{path.name}: {name}"
            assert ".identity." not in name


# --- alerts


@every_case
def test_alerts_ask_for_documented_metrics_with_an_aggregation_that_they_have(
    resources: functools.partial[list[Resource]],
) -> None:
    for alert in of_type(resources(), "Microsoft.Insights/metricAlerts"):
        (scope,) = alert["properties"]["scopes"]
        kind = next(kind for kind, _ in METRICS if _contains_type(scope, kind))
        for criterion in alert["properties"]["criteria"]["allOf"]:
            assert criterion["timeAggregation"] in METRICS[kind, criterion["metricName"]], alert["name"]


def _contains_type(scope: str, kind: str) -> bool:
    """Whether a resource id is one of this type and of no type below it."""
    provider, *types = kind.split("/")
    pattern = rf"/providers/{re.escape(provider)}/" + "/".join(rf"{name}/[^/]+" for name in types) + "$"
    return re.search(pattern, scope) is not None


def test_silence_is_no_alert_before_the_first_hospital_sends() -> None:
    for name in ENVIRONMENTS:
        assert not any(
            "hub-silent" in alert["name"] for alert in of_type(committed(name), "Microsoft.Insights/metricAlerts")
        )


@needs_compiler
def test_silence_is_an_alert_once_hospitals_send() -> None:
    assert any(
        "hub-silent" in alert["name"] for alert in of_type(variant("prod full"), "Microsoft.Insights/metricAlerts")
    )


# --- settings


@needs_compiler
def test_the_apps_set_every_setting_that_exists_and_no_other() -> None:
    known = {*Settings.variables(), *AlertSettings.variables()}
    set_by_image = {"PATIENT_FLOW_EVENTHUB_CONNECTION"}
    given = {
        name
        for app in of_type(variant("prod full"), "Microsoft.App/containerApps")
        for name in environment_of(app)
        if name.startswith("PATIENT_FLOW_")
    }
    assert given - known == set()
    assert known - given == set_by_image


def settings_of_the_dashboard() -> set[str]:
    """Names of the settings that its command reads, and of the one without which these would be refused."""
    fields = {field: name for name, field in [*Settings.variables().items(), *AlertSettings.variables().items()]}
    source = inspect.getsource(cli.commands["dashboard"].callback or cli)
    read = re.findall(r"\bsettings\.(?:alerts\.)?(\w+)|\bservices\.(\w+)", source)
    names = {fields[field or other] for field, other in read if (field or other) in fields}
    limits = {name for name in AlertSettings.variables() if name.startswith("PATIENT_FLOW_ALERT_OCCUPANCY_")}
    return names | limits | {"PATIENT_FLOW_WAREHOUSE_URL", "PATIENT_FLOW_TIMEZONE"}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_dashboard_is_given_every_setting_that_it_reads(environment: str) -> None:
    """A threshold that reaches the alerts only would colour the page differently from the messages."""
    (dashboard,) = [
        app for app in of_type(committed(environment), "Microsoft.App/containerApps") if app["name"] == "dashboard"
    ]
    wanted = settings_of_the_dashboard()
    assert {"PATIENT_FLOW_ESCALATION", "PATIENT_FLOW_ALERT_OCCUPANCY_PCT", "PATIENT_FLOW_DASHBOARD_HOSTS"} <= wanted
    assert wanted - environment_of(dashboard).keys() == set()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_command_inside_the_network_has_the_settings_keys_and_identity_of_the_pipeline(environment: str) -> None:
    made = committed(environment)
    (code,) = [app for app in of_type(made, "Microsoft.App/containerApps") if app["name"] == "code"]
    (job,) = [job for job in of_type(made, "Microsoft.App/jobs") if job["name"] == "pipeline-command"]
    wanted = {name for name in environment_of(code) if name.startswith("PATIENT_FLOW_")}
    assert wanted - environment_of(job).keys() == set()
    assert job["identity"] == code["identity"]
    assert (
        job["properties"]["template"]["containers"][0]["resources"]
        == (code["properties"]["template"]["containers"][0]["resources"])
    )


def test_the_dashboard_on_kubernetes_is_given_every_setting_that_it_reads() -> None:
    base = ROOT / "infra/kubernetes/base"
    maps = {page["metadata"]["name"]: page["data"] for page in yaml.safe_load_all((base / "settings.yaml").read_text())}
    given = {name for part in ("warehouse", "dashboard") for name in maps[part]}
    assert settings_of_the_dashboard() - given - {"PATIENT_FLOW_ACCESS_LOG_KEY"} == set()


@needs_compiler
def test_each_alert_channel_has_a_switch_of_its_own() -> None:
    """The vault refuses an empty secret: whoever has no mail server has no password to store."""
    made = bicep.evaluate("dev", "param appsReady = true\nparam teamsWebhookExists = true")
    (code,) = [app for app in of_type(made, "Microsoft.App/containerApps") if app["name"] == "code"]
    assert "PATIENT_FLOW_ALERT_TEAMS_WEBHOOK" in environment_of(code)
    assert "PATIENT_FLOW_ALERT_SMTP_PASSWORD" not in environment_of(code)


@needs_compiler
def test_the_dashboard_answers_to_the_names_that_people_use() -> None:
    (dashboard,) = [
        app for app in of_type(variant("prod full"), "Microsoft.App/containerApps") if app["name"] == "dashboard"
    ]
    hosts = environment_of(dashboard)["PATIENT_FLOW_DASHBOARD_HOSTS"]
    assert "dashboard.{0}" in hosts
    assert "flow.hospital.example" in hosts
