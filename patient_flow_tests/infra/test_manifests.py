"""Compose, workflows and Kubernetes manifests: valid by their published schemas, and safe by a few rules of ours."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from patient_flow_tests.stacks import OWN_KEYS

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "infra" / "kubernetes"
COMPOSE = ROOT / "infra" / "compose" / "compose.yaml"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
KUBERNETES_VERSION = "1.31"


def _check_schema(schema: str, *files: Path, options: tuple[str, ...] = ()) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *options, *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@functools.cache
def _manifests() -> list[dict[str, Any]]:
    """All manifests of the base."""
    return [
        manifest
        for file in sorted((KUBERNETES / "base").glob("*.yaml"))
        if file.name != "kustomization.yaml"
        for manifest in yaml.safe_load_all(file.read_text())
    ]


def _pods() -> list[tuple[str, dict[str, Any]]]:
    return [
        (manifest["metadata"]["name"], manifest["spec"]["template"])
        for manifest in _manifests()
        if manifest["kind"] in {"Deployment", "Job"}
    ]


def test_workflows_are_valid() -> None:
    assert WORKFLOWS
    _check_schema("github-workflows", *WORKFLOWS)


def test_azure_devops_pipeline_is_valid() -> None:
    pipeline = ROOT / "infra" / "pipelines" / "azure-devops.yml"
    # The schema's patterns are not Unicode ones, and its authors know template expressions only once they are resolved.
    options = ("--data-transform", "azure-pipelines", "--regex-variant", "nonunicode")
    _check_schema("azure-pipelines", pipeline, options=options)


def _azure_devops_stages() -> list[dict[str, Any]]:
    """The stages of one environment, in order."""
    azure_devops = yaml.safe_load((ROOT / "infra/pipelines/azure-devops.yml").read_text())
    (repeated,) = (stage for stage in azure_devops["stages"] if "stage" not in stage)
    ((*stages,),) = repeated.values()
    return stages


def test_an_approver_on_azure_devops_sees_what_would_change() -> None:
    """A stage waits for the approval of its environment before its first job: the what-if is in a stage before."""
    what_if, deployment = _azure_devops_stages()
    assert not any("environment" in job for job in what_if["jobs"])
    assert deployment["dependsOn"] == what_if["stage"]
    (job,) = deployment["jobs"]
    assert job["environment"] == "patient-flow-${{ environment }}"
    assert what_if["condition"] == deployment["condition"]


def test_production_is_deployed_from_inside_its_network() -> None:
    """Its registry answers nowhere else, so an agent of the pipeline's vendor could not push the image."""
    stages = _azure_devops_stages()
    (deployment,) = (job for stage in stages for job in stage["jobs"] if "deployment" in job)
    assert "pool" not in deployment
    assert deployment["${{ if eq(environment, 'prod') }}"] == {"pool": {"name": "patient-flow-prod"}}
    github = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text())
    assert "vars.PROD_RUNNER" in github["jobs"]["prod"]["with"]["runner"]


def test_compose_is_valid() -> None:
    _check_schema("compose-spec", COMPOSE)


def test_foreign_actions_are_pinned_to_a_commit() -> None:
    used = [line for workflow in WORKFLOWS for line in re.findall(r"uses: (\S+)", workflow.read_text())]
    assert [action for action in used if not re.search(r"@[0-9a-f]{40}$", action) and not action.startswith("./")] == []


def test_workflows_grant_nothing_by_default() -> None:
    for workflow in WORKFLOWS:
        permissions = yaml.safe_load(workflow.read_text())["permissions"]
        assert permissions["contents"] == "read"
        assert set(permissions) <= {"contents", "id-token"}


def test_only_what_was_pushed_to_main_is_deployed() -> None:
    """`check` runs for pull requests too, and a fork's branch may be called main: its code never gets our identity."""
    jobs = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text())["jobs"]
    first = [job for job in jobs.values() if "needs" not in job]
    assert first
    for job in first:
        by_hand, after_check = " ".join(job["if"].split()).split(" || ")
        assert by_hand == "(github.event_name == 'workflow_dispatch' && github.ref == 'refs/heads/main')"
        assert set(after_check.strip("()").split(" && ")) == {
            "github.event.workflow_run.conclusion == 'success'",
            "github.event.workflow_run.event == 'push'",
            "github.event.workflow_run.head_repository.full_name == github.repository",
        }


def test_compose_listens_on_loopback_only() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_compose_images_have_a_version() -> None:
    images = re.findall(r"image: (?:&\w+ )?([\w./-]+(?::\S+)?)$", COMPOSE.read_text(), flags=re.MULTILINE)
    assert images
    assert [image for image in images if ":" not in image or image.endswith(":latest")] == []


def test_our_containers_of_compose_can_do_little() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    ours = {name: service for name, service in services.items() if service["image"].startswith("patient-flow:")}
    assert {"code", "daemon", "ui", "dashboard"} <= set(ours)
    for service in ours.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("manifest", _manifests(), ids=lambda each: f"{each['kind']}/{each['metadata']['name']}")
def test_manifests_are_valid(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)


def _patched(value: Any, patch: Any) -> Any:
    """A strategic merge as kustomize does it, as far as the overlay needs it: lists of named things merge by name."""
    if isinstance(value, dict) and isinstance(patch, dict):
        return value | {key: _patched(value.get(key), part) for key, part in patch.items()}
    if isinstance(value, list) and isinstance(patch, list) and all("name" in part for part in patch):
        changed = {part["name"]: part for part in patch}
        known = {part["name"] for part in value}
        merged = [_patched(part, changed.get(part["name"], {})) for part in value]
        return merged + [part for part in patch if part["name"] not in known]
    return patch


def _overlay() -> dict[tuple[str, str], dict[str, Any]]:
    """The base with the production overlay's patches. The workflow `check` renders it with kubectl as well."""
    folder = KUBERNETES / "overlays" / "prod"
    declared = yaml.safe_load((folder / "kustomization.yaml").read_text())
    manifests = {(each["kind"], each["metadata"]["name"]): each for each in _manifests()}
    for patch in declared["patches"]:
        for part in yaml.safe_load_all((folder / patch["path"]).read_text()):
            key = (part["kind"], part["metadata"]["name"])
            assert key in manifests, f"{patch['path']} changes {key}, which the base does not have"
            manifests[key] = _patched(manifests[key], part)
    return manifests


def test_the_production_overlay_is_valid() -> None:
    manifests = _overlay()
    for manifest in manifests.values():
        kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)
    container = manifests["Deployment", "code"]["spec"]["template"]["spec"]["containers"][0]
    assert {"DAGSTER_PG_USER", *OWN_KEYS} <= {variable["name"] for variable in container["env"]}
    assert {"tmp", "key"} == {mount["name"] for mount in container["volumeMounts"]}


@pytest.mark.parametrize(("name", "pod"), _pods(), ids=[name for name, _ in _pods()])
def test_pods_run_without_privileges_and_with_a_memory_limit(name: str, pod: dict[str, Any]) -> None:
    spec = pod["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    assert pod["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    for container in spec["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}


def test_only_the_pipeline_gets_the_lake_and_the_key() -> None:
    """UI, daemon, dashboard and migration have no setting that leads to an event."""
    for name, pod in _pods():
        sources = pod["spec"]["containers"][0]["envFrom"]
        maps = {source["configMapRef"]["name"] for source in sources if "configMapRef" in source}
        assert ({"secretRef": {"name": "alerts", "optional": True}} in sources) == (name == "code")
        assert ("pipeline" in maps) == (name == "code")


def test_one_code_location_and_one_daemon() -> None:
    for manifest in _manifests():
        if manifest["kind"] == "Deployment" and manifest["metadata"]["name"] in {"code", "daemon"}:
            assert manifest["spec"]["replicas"] == 1
            assert manifest["spec"]["strategy"]["type"] == "Recreate"


def test_everything_is_denied_unless_named() -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in _manifests() if each["kind"] == "NetworkPolicy"}
    assert policies["deny-all"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def _leaves(manifests: dict[tuple[str, str], dict[str, Any]], name: str, port: int) -> bool:
    """True when the pods of ``name`` may open ``port`` somewhere outside the cluster."""
    policies = [each["spec"] for (kind, _), each in manifests.items() if kind == "NetworkPolicy"]
    return any(
        allowed["port"] == port
        for policy in policies
        if policy["podSelector"].get("matchLabels", {"app.kubernetes.io/name": name})
        == {"app.kubernetes.io/name": name}
        for rule in policy.get("egress", [])
        if any("ipBlock" in target for target in rule["to"])
        for allowed in rule["ports"]
    )


def test_alerts_by_mail_leave_the_cluster_and_come_from_the_code_location_alone() -> None:
    manifests = _overlay()
    port = int(manifests["ConfigMap", "pipeline"]["data"]["PATIENT_FLOW_ALERT_SMTP_PORT"])
    senders = {name for name, _ in _pods() if _leaves(manifests, name, port)}
    assert senders == {"code"}
    assert {name for name, _ in _pods() if _leaves(manifests, name, 443)} == {name for name, _ in _pods()}
