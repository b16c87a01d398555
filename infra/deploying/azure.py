"""What several steps do in Azure: deploy, take a role for a moment, store a secret, run a job inside the network."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from deploying.commands import ROOT, Commands, State, Stop

# PostgreSQL refuses its administrator until some minutes after it was created.
NOT_YET = "AadAuthOperationCannotBePerformedWhenServerIsNotAccessible"
START = "https://management.azure.com{job}/start?api-version=2025-07-01"


def parameter_variables(environment: str) -> list[str]:
    """Names of the variables that the parameter file reads."""
    text = (ROOT / f"infra/bicep/{environment}.bicepparam").read_text()
    return sorted(set(re.findall(r"readEnvironmentVariable\('(\w+)'", text)))


def required_variables(environment: str) -> list[str]:
    """Names of those without a default."""
    text = (ROOT / f"infra/bicep/{environment}.bicepparam").read_text()
    return sorted(set(re.findall(r"readEnvironmentVariable\('(\w+)'\)", text)))


def role_ids() -> list[str]:
    """Ids of the roles that the templates assign."""
    text = "\n".join(path.read_text() for path in (ROOT / "infra/bicep/modules").glob("*.bicep"))
    return sorted(set(re.findall(r"roleDefinitions',\s+'([0-9a-f-]{36})'", text)))


class Azure:
    """One environment in one resource group."""

    def __init__(self, options: argparse.Namespace, commands: Commands, state: State) -> None:
        self.environment, self.group, self.options = options.environment, options.group, options
        self.run, self.state, self.variables = commands, state, commands.variables

    def az(self, value: str, *arguments: str) -> str:
        """A value that az reads; ``value`` names it in a dry run."""
        return self.run.read(value, "az", *arguments, "--output", "tsv")

    def change(self, effect: str, *arguments: str) -> None:
        """A change that az makes."""
        self.run.change(effect, "az", *arguments, "--output", "none")

    def create(self, effect: str, found: str, *arguments: str) -> None:
        """Create what was not found; a dry run cannot know and prints the command."""
        if self.run.dry_run:
            self.change(f"{effect}, where that is missing", *arguments)
        elif not found:
            self.change(effect, *arguments)

    def output(self, name: str) -> str:
        """An output of the templates. Raises ``Stop`` before the first deployment."""
        value: str = self.state.known["outputs"].get(name) or (f"<{name}>" if self.run.dry_run else "")
        if not value:
            raise Stop(f"the deployment has no output {name}: run the step that deploys first")
        return value

    def variable(self, name: str) -> str:
        """A variable of the parameter file. Raises ``Stop`` when no step and nobody has set it."""
        value = self.variables.get(name) or (f"<{name}>" if self.run.dry_run else "")
        if not value:
            raise Stop(f"{name} is not set: run the steps groups and registration, or export it")
        return value

    def keep(self, variable: str, value: str) -> None:
        """Remember a variable of the parameter file."""
        self.variables[variable] = value
        self.state.known["variables"][variable] = value
        self.state.save()

    def confirm(self, question: str) -> None:
        """Ask before the commands that cannot be taken back. Raises ``Stop`` for any other answer than y."""
        if self.run.dry_run or self.options.yes:
            return
        if not sys.stdin.isatty() or input(f"{question} [y/N] ").strip().lower() != "y":
            raise Stop("not confirmed (--yes confirms without a question)")

    def deploy(self, effect: str, *parameters: str) -> None:
        """One deployment of the templates, again while PostgreSQL is not ready for its administrator."""
        command = (
            *("deployment", "group", "create", "--name", f"patient-flow-{self.environment}"),
            *(
                "--resource-group",
                self.group,
                "--parameters",
                f"infra/bicep/{self.environment}.bicepparam",
                *parameters,
            ),
        )
        units = self.az(
            "THROUGHPUT_UNITS",
            *("eventhubs", "namespace", "list", "--resource-group", self.group, "--query", "[0].sku.capacity"),
        )
        if units and not self.run.dry_run:
            self.variables["THROUGHPUT_UNITS"] = units

        def accepted() -> bool:
            try:
                self.change(effect, *command)
            except Stop as reason:
                if NOT_YET not in str(reason):
                    raise
                return False
            return True

        if self.run.dry_run:
            accepted()
        else:
            self.run.wait("PostgreSQL accepts its administrator", accepted)
        self.read_outputs()

    def read_outputs(self) -> None:
        """Remember the outputs of the last deployment."""
        found = self.run.read(
            "outputs",
            *("az", "deployment", "group", "show", "--name", f"patient-flow-{self.environment}"),
            *("--resource-group", self.group, "--query", "properties.outputs", "--output", "json"),
        )
        if not self.run.dry_run:
            self.state.known["outputs"] = {name: entry["value"] for name, entry in json.loads(found or "{}").items()}
            self.state.save()

    def me(self) -> str:
        """Object id of whoever is signed in."""
        return self.az("me", "ad", "signed-in-user", "show", "--query", "id")

    def resources(self, what: str, types: Sequence[str]) -> list[str]:
        """Ids of the resources of these types in the group."""
        listed = ", ".join(f"'{kind}'" for kind in types)
        query = f"[?contains([{listed}], type)].id"
        return self.az(what, "resource", "list", "--resource-group", self.group, "--query", query).splitlines()

    @contextlib.contextmanager
    def role(self, role: str, scope: str, principal: str, *, kind: str = "User") -> Iterator[None]:
        """Assign a role for the commands inside, and remove it however they end."""
        self.change(
            f"assigns {role} for this step",
            *("role", "assignment", "create", "--role", role, "--assignee-object-id", principal),
            *("--assignee-principal-type", kind, "--scope", scope),
        )
        try:
            yield
        finally:
            self.change(
                f"removes {role}",
                *("role", "assignment", "delete", "--role", role, "--assignee", principal, "--scope", scope),
            )

    def store(self, vault: str, name: str, make: Callable[[], str]) -> None:
        """Put a new secret into the vault. Its value passes through a private file: no argument list contains it."""
        shown = f"az keyvault secret set --vault-name {vault} --name {name} --file <new value> --output none"
        if self.run.dry_run:
            make()
            self.run.change(f"creates secret {name}, unless it exists", shown=shown)
            return
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / name
            file.touch(mode=0o600)
            file.write_text(make())
            self.run.change(
                f"creates secret {name}",
                *("az", "keyvault", "secret", "set", "--vault-name", vault, "--name", name, "--file", str(file)),
                *("--encoding", "utf-8", "--output", "none"),
                shown=shown,
            )

    def secrets_of(self, vault: str, names: list[str]) -> bool:
        """Fill in the names of the vault's secrets; false while they cannot be read."""
        try:
            names[:] = self.az(
                "names", "keyvault", "secret", "list", "--vault-name", vault, "--query", "[].name"
            ).split()
        except Stop as reason:
            # A role that is not effective yet; the firewall's refusal will not go away by itself.
            if "Forbidden" in str(reason) and "ForbiddenByFirewall" not in str(reason):
                return False
            raise
        return True

    def inside(self, effect: str, arguments: Sequence[str], **environment: str) -> None:
        """Run a command inside the network, as the pipeline and with its settings: by the job ``pipeline-command``."""
        job = ("--name", "pipeline-command", "--resource-group", self.group)
        if self.run.dry_run:
            self.run.read("job", "az", "containerapp", "job", "show", *job, "--output", "json")
            self.run.change(
                f"{effect}, by a job", *("az", "rest", "--method", "post", "--uri", START.format(job="<job-id>")),
                *("--body", json.dumps({"args": list(arguments), "env": sorted(environment)})),
            )  # fmt: skip
            return
        declared = json.loads(self.run.read("job", "az", "containerapp", "job", "show", *job, "--output", "json"))
        (container,) = declared["properties"]["template"]["containers"]
        # An execution that is given a container gets this one only: all that was declared is handed over again.
        kept = {name: container[name] for name in ("name", "image", "resources", "env") if container.get(name)}
        given = [{"name": name, "value": value} for name, value in environment.items()]
        body = {"containers": [{**kept, "args": list(arguments), "env": [*kept.get("env", []), *given]}]}
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "body.json"
            file.write_text(json.dumps(body))
            execution = self.run.change(
                f"{effect}, by a job",
                *("az", "rest", "--method", "post", "--uri", START.format(job=declared["id"])),
                *("--body", f"@{file}", "--query", "name", "--output", "tsv"),
            )
        self._wait_for(execution, job)

    def _wait_for(self, execution: str, job: Sequence[str]) -> None:
        last = [""]

        def ended() -> bool:
            last[0] = self.az(
                "status",
                *("containerapp", "job", "execution", "show", *job, "--job-execution-name", execution),
                *("--query", "properties.status"),
            )
            return last[0] in ("Succeeded", "Failed", "Degraded", "Stopped")

        self.run.wait(f"execution {execution} ends", ended, attempts=360)
        workspace = self.az(
            "workspace",
            *("monitor", "log-analytics", "workspace", "list", "--resource-group", self.group),
            *("--query", "[0].customerId"),
        )
        lines = (
            f'az monitor log-analytics query --workspace {workspace} --analytics-query "ContainerAppConsoleLogs'
            f" | where ContainerGroupName startswith '{execution}' | order by TimeGenerated asc | project Log\""
            " --output tsv"
        )
        if last[0] != "Succeeded":
            raise Stop(f"{execution}: {last[0]}. Its lines, some minutes later:\n  {lines}")
        print(f"  {execution}: Succeeded. Its lines, some minutes later:\n    {lines}")
