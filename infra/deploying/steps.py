"""The steps of a deployment, in the order of ``STEPS``."""

from __future__ import annotations

import base64
import gzip
import json
import re
import secrets as random
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from deploying.azure import Azure, required_variables, role_ids
from deploying.commands import ROOT, Stop, shell

PROVIDERS = (
    *("App", "ContainerRegistry", "DBforPostgreSQL", "EventHub", "Insights", "KeyVault"),
    *("ManagedIdentity", "Network", "OperationalInsights", "Sql", "Storage", "Synapse"),
)
# Variable of the parameter file with the group's id → what its members are.
GROUPS = {
    "DATABASE_ADMINS_GROUP_ID": "database-admins",
    "OPERATORS_GROUP_ID": "operators",
    "VIEWERS_GROUP_ID": "viewers",
    "DASHBOARD_GROUP_ID": "dashboard",
    "ANALYSTS_GROUP_ID": "analysts",
}
KEYS = ("pseudonym-key", "erasure-key", "access-log-key")
PAGES = ("ui", "viewer", "dashboard")
OPENED = ("Microsoft.DBforPostgreSQL/flexibleServers", "Microsoft.Sql/servers", "Microsoft.Synapse/workspaces")
STORES = (*OPENED, "Microsoft.Storage/storageAccounts", "Microsoft.EventHub/namespaces", "Microsoft.KeyVault/vaults")
# An environment variable of Linux ends at 128 KiB.
MAX_LIST_BYTES = 100_000


class Steps(Azure):
    """Every step may be repeated: it creates only what is absent, or sets what is already so."""

    def tools(self) -> None:
        """Programs, sign-in and subscription."""
        version = self.az("az-version", "version", "--query", '"azure-cli"')
        if not self.run.dry_run and tuple(map(int, version.split(".")[:2])) < (2, 76):
            raise Stop(f"az {version} is too old: 2.76 or newer is needed (az upgrade)")
        subscription = self.az("subscription", "account", "show", "--query", "id")
        first = self.state.known.setdefault("subscription", subscription)
        if first != subscription:
            raise Stop(f"signed in to {subscription}, but began in {first}: az account set --subscription {first}")
        if not json.loads(self.variables.get("OPERATOR_IPS") or "[]"):
            print("  OPERATOR_IPS is empty: secrets and databases can only be reached from inside the network")

    def groups(self) -> None:
        """Entra groups, with you among the administrators of the databases."""
        for variable, people in GROUPS.items():
            if self.variables.get(variable):
                continue
            name = f"patient-flow-{self.environment}-{people}"
            found = self.az(
                variable, "ad", "group", "list", "--filter", f"displayName eq '{name}'", "--query", "[0].id"
            )
            self.create(
                f"creates Entra group {name}",
                found,
                *("ad", "group", "create", "--display-name", name, "--mail-nickname", name),
            )
            self.keep(variable, found or self.az(variable, "ad", "group", "show", "--group", name, "--query", "id"))
        admins = self.variable("DATABASE_ADMINS_GROUP_ID")
        self.keep(
            "DATABASE_ADMINS_GROUP_NAME",
            self.az("DATABASE_ADMINS_GROUP_NAME", "ad", "group", "show", "--group", admins, "--query", "displayName"),
        )
        me = self.me()
        member = self.az(
            "membership", "ad", "group", "member", "check", "--group", admins, "--member-id", me, "--query", "value"
        )
        self.create(
            "makes you an administrator of the databases",
            "" if member.lower() != "true" else member,
            *("ad", "group", "member", "add", "--group", admins, "--member-id", me),
        )

    def registration(self) -> None:
        """App registration of the sign-in page, with ID tokens and the group claim."""
        if not self.variables.get("SIGN_IN_CLIENT_ID"):
            name = f"patient-flow-{self.environment}"
            find = ("ad", "app", "list", "--filter", f"displayName eq '{name}'", "--query", "[0].appId")
            app = self.az("SIGN_IN_CLIENT_ID", *find)
            self.create(
                f"creates app registration {name}",
                app,
                *("ad", "app", "create", "--display-name", name, "--sign-in-audience", "AzureADMyOrg"),
            )
            self.keep("SIGN_IN_CLIENT_ID", app or self.az("SIGN_IN_CLIENT_ID", *find))
        app = self.variable("SIGN_IN_CLIENT_ID")
        self.change(
            "lets it issue ID tokens: without them nobody can sign in",
            *("ad", "app", "update", "--id", app, "--enable-id-token-issuance", "true"),
        )
        self.change(
            "lets the tokens name the groups",
            "ad",
            "app",
            "update",
            "--id",
            app,
            "--set",
            "groupMembershipClaims=SecurityGroup",
        )
        found = self.az("service-principal", "ad", "sp", "list", "--filter", f"appId eq '{app}'", "--query", "[0].id")
        self.create("creates its service principal", found, "ad", "sp", "create", "--id", app)

    def resource_group(self) -> None:
        """Resource group and resource providers."""
        self.change(
            f"creates resource group {self.group}",
            *("group", "create", "--name", self.group, "--location", self.options.location),
        )
        for provider in PROVIDERS:
            name = f"Microsoft.{provider}"
            self.change(f"registers {name} for the subscription", "provider", "register", "--namespace", name, "--wait")

    def infrastructure(self) -> None:
        """What-if and first deployment: everything but the apps."""
        self._require_variables()
        if not self.variables.get("BUDGET_START_DATE"):
            self.keep("BUDGET_START_DATE", datetime.now(UTC).strftime("%Y-%m-01"))
        target = ("--resource-group", self.group, "--parameters", f"infra/bicep/{self.environment}.bicepparam")
        self.run.show("shows what the deployment would change", "az", "deployment", "group", "what-if", *target)
        self.confirm(f"Deploy to {self.group}?")
        self.deploy("creates network, hub, lake, vault, registry, databases and alerts")

    def secrets(self) -> None:
        """Keys and client secret into the vault, and the apps' rights on them."""
        vault = self.output("vaultName")
        scope = self.az("vault-id", "keyvault", "show", "--name", vault, "--query", "id")
        with self.role("Key Vault Secrets Officer", scope, self.me()):
            there: list[str] = []
            self.run.wait("you may read the vault", lambda: self.secrets_of(vault, there))
            for key in KEYS:
                if key not in there:
                    self.store(vault, key, lambda: random.token_hex(32))
            if "sign-in-client-secret" not in there:
                self.store(vault, "sign-in-client-secret", self._new_client_secret)
        self.deploy("gives the apps their rights on the secrets", "secretsExist=true")

    def databases(self) -> None:
        """Users of Dagster's PostgreSQL; tables, roles and users of the warehouse."""
        self._psql()
        kind, database = self.output("warehouseKind"), self.output("warehouseDatabase")
        if self.run.dry_run and kind.startswith("<"):
            kind = "mssql"
        folder = ROOT / "infra/sql" / kind
        for script in ("master.sql", "schema.sql", "access.sql", "database.sql"):
            name = f"databases: {script}"
            if (folder / script).is_file() and not self.state.is_done(name):
                target = "master" if script == "master.sql" else database
                # Where a transaction takes DDL, a script that fails leaves nothing behind and can be run again.
                self._sqlcmd(target, folder / script, whole=kind == "mssql" and target != "master")
                self.state.finish(name)
        with tempfile.TemporaryDirectory() as place:
            users = Path(place) / "users.sql"
            users.write_text(self._users(kind))
            print("".join(f"      {line}\n" for line in users.read_text().splitlines()), end="")
            self._sqlcmd(database, users)

    def _psql(self) -> None:
        get_token = ("account", "get-access-token", "--resource-type", "oss-rdbms", "--query", "accessToken")
        command = (
            *("psql", "--host", self.output("postgresHost"), "--dbname", "postgres"),
            *("--username", self.variable("DATABASE_ADMINS_GROUP_NAME")),
            *("-v", f"pipeline={self.output('pipelineIdentityName')}"),
            *("-v", f"control={self.output('controlIdentityName')}", "-f", "infra/dagster/roles.sql"),
        )
        token = "" if self.run.dry_run else self.az("token", *get_token)
        asked = shell(["az", *get_token, "--output", "tsv"])
        self.run.change(
            "creates the users of Dagster's database",
            *command,
            shown=f"PGSSLMODE=require PGPASSWORD=$({asked}) {shell(command)}",
            PGPASSWORD=token,
            PGSSLMODE="require",
        )

    def _sqlcmd(self, database: str, script: Path, *, whole: bool = False) -> None:
        command = ("sqlcmd", "-S", self.output("warehouseHost"), "-d", database, "-G", "-b", "-i")
        name = script.relative_to(ROOT).as_posix() if script.is_relative_to(ROOT) else script.name
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / script.name
            text = script.read_text()
            if whole:
                text = f"SET XACT_ABORT ON\nGO\nBEGIN TRANSACTION\nGO\n{text}\nCOMMIT TRANSACTION\nGO\n"
            file.write_text(text)
            self.run.change(
                f"runs {script.name} in {database}" + (", in one transaction" if whole else ""),
                *(*command, str(file)),
                shown=shell([*command, name]),
            )

    def _users(self, kind: str) -> str:
        """The members of the warehouse's roles; may be run again."""
        lines = []
        for identity, role in (("pipeline", "loader"), ("dashboard", "dashboard"), ("migration", "")):
            user = self.output(f"{identity}IdentityName")
            group = f"patient_flow_{role}" if role else "db_owner"
            if kind == "fabric":  # makes a user with the first GRANT; share the warehouse with the identity before
                lines.append(f"GRANT SELECT ON OBJECT::dbo.LoadLog TO [{user}]")
                lines.append(f"ALTER ROLE {group} ADD MEMBER [{user}]")
            else:
                lines.append(
                    f"IF NOT EXISTS (SELECT 1 FROM sys.database_principals WHERE name = '{user}') "  # noqa: S608
                    f"CREATE USER [{user}] FROM EXTERNAL PROVIDER"
                )
                lines.append(f"EXEC sp_addrolemember '{group}', '{user}'")
        dashboard = self.output("dashboardIdentityName")
        lines.append(
            "INSERT INTO security.ReaderScope (principal_name, hospital_id, department) "  # noqa: S608
            f"SELECT '{dashboard}', NULL, NULL "
            f"WHERE NOT EXISTS (SELECT 1 FROM security.ReaderScope WHERE principal_name = '{dashboard}')"
        )
        return "".join(f"{line}\nGO\n" for line in lines)

    def apps(self) -> None:
        """Image and apps."""
        commit = self.run.read("commit", "git", "rev-parse", "HEAD")
        if not self.run.dry_run and (changed := self.run.read("changes", "git", "status", "--porcelain")):
            raise Stop(f"the image is named by its commit, but the checkout has changes:\n{changed}")
        image = self.variables.get("IMAGE_NAME") or f"patient-flow:{commit}"
        script = "infra/pipelines/deploy.sh"
        self.run.show(
            f"builds and pushes {image}, deploys the apps, creates the warehouse's tables",
            *(script, self.group, self.environment),
            APPS_READY="true",
            IMAGE_NAME=image,
        )
        if self.run.dry_run:
            lines = (ROOT / script).read_text().splitlines()
            print(
                "\n".join(
                    f"      {line.strip()}" for line in lines if re.match(r"\s*(?:\w+=\$\()?(?:az|docker) ", line)
                )
            )
        self.read_outputs()

    def redirects(self) -> None:
        """Redirect URIs of the sign-in page."""
        uris = [f"{self.output(f'{page}Url')}/.auth/login/aad/callback" for page in PAGES]
        self.change(
            "lets people sign in to the three pages",
            *("ad", "app", "update", "--id", self.variable("SIGN_IN_CLIENT_ID"), "--web-redirect-uris", *uris),
        )

    def departments(self) -> None:
        """Department list into the lake, by a job inside the network (--file departments.csv)."""
        if self.options.file is None and not self.run.dry_run:
            if self.environment == "dev":
                print("  none: development has the demo's list")
                return
            raise Stop(
                "give the list: infra/deploy ENVIRONMENT departments --file departments.csv (README, Departments)"
            )
        content = b"" if self.options.file is None else self.options.file.read_bytes()
        packed = base64.b64encode(gzip.compress(content, mtime=0)).decode()
        if len(packed) > MAX_LIST_BYTES:
            raise Stop(
                f"the list has {len(packed)} bytes when packed, at most {MAX_LIST_BYTES} fit: write it from inside"
            )
        unpack = 'printf %s "$DEPARTMENT_LIST" | base64 -d | gunzip > /tmp/list.csv'
        write = f"{unpack} && patient-flow departments write /tmp/list.csv"
        self.inside("writes the department list", ["sh", "-c", write], DEPARTMENT_LIST=packed)

    def smoke(self) -> None:
        """Whether everything runs, pages are closed to strangers, and the sensor ticks."""
        self.run.show("asks only", "infra/pipelines/smoke-test.sh", self.group)

    def simulate(self) -> None:
        """500 simulated events through the deployment (development only)."""
        if self.environment != "dev":
            raise Stop("simulated patients stay in the lake: send them in development")
        namespace = self.output("eventHubNamespace").partition(".")[0]
        hub = ("--name", "patient-flow", "--namespace-name", namespace, "--resource-group", self.group)
        scope = self.az("hub-id", "eventhubs", "eventhub", "show", *hub, "--query", "id")
        pipeline = ("--name", self.output("pipelineIdentityName"), "--resource-group", self.group)
        principal = self.az("pipeline-principal", "identity", "show", *pipeline, "--query", "principalId")
        with self.role("Azure Event Hubs Data Sender", scope, principal, kind="ServicePrincipal"):
            print("  a role takes some minutes to become effective")
            if not self.run.dry_run:
                time.sleep(30 * self.run.pause)
            self.inside("sends 500 events", ["patient-flow", "simulate", "--events", "500"])

    def ci(self) -> None:
        """Identities with which GitHub deploys (--repository ORGANISATION/NAME)."""
        repository = self.options.repository or ("<repository>" if self.run.dry_run else "")
        if not repository:
            raise Stop("give the repository: --repository ORGANISATION/NAME")
        group_id = self.az("group-id", "group", "show", "--name", self.group, "--query", "id")
        for purpose, suffix in (("deploy", ""), ("what-if", "-what-if")):
            name = f"{self.output('pipelineIdentityName').removesuffix('-pipeline')}-{purpose}"
            self.change(
                f"creates identity {name}", "identity", "create", "--name", name, "--resource-group", self.group
            )
            self.change(
                f"lets environment {self.environment}{suffix} of {repository} sign in as it",
                *(
                    "identity",
                    "federated-credential",
                    "create",
                    "--identity-name",
                    name,
                    "--resource-group",
                    self.group,
                ),
                *("--name", "github", "--issuer", "https://token.actions.githubusercontent.com"),
                *("--subject", f"repo:{repository}:environment:{self.environment}{suffix}"),
                *("--audiences", "api://AzureADTokenExchange"),
            )
            principal = self.az(
                f"{purpose}-principal",
                *("identity", "show", "--name", name, "--resource-group", self.group, "--query", "principalId"),
            )
            for role, condition in self._pipeline_roles(purpose, group_id):
                self.change(
                    f"gives it {role} on the group",
                    *("role", "assignment", "create", "--role", role, "--assignee-object-id", principal),
                    *("--assignee-principal-type", "ServicePrincipal", "--scope", group_id),
                    *(("--condition-version", "2.0", "--condition", condition) if condition else ()),
                )

    def close(self) -> None:
        """Firewall rules of operators deleted, public access closed, stores locked."""
        opened = len(json.loads(self.variables.get("OPERATOR_IPS") or "[]"))
        self.confirm("Close vault, registry and databases to everybody outside the network?")
        for server in self.resources("databases", OPENED):
            for number in range(opened):
                rule = f"{server}/firewallRules/operator-{number}"
                self.change("deletes a firewall rule", "resource", "delete", "--ids", rule)
        self.keep("OPERATOR_IPS", "[]")
        image = self.az(
            "registry/image",
            *("containerapp", "show", "--name", "code", "--resource-group", self.group),
            *("--query", "properties.template.containers[0].image"),
        )
        self.deploy("closes public access", "appsReady=true", f"imageName={image.partition('/')[2]}")
        for store in self.resources("stores", STORES):
            self.change(
                "locks a resource that contains data",
                *("lock", "create", "--name", "holds-data", "--lock-type", "CanNotDelete", "--resource", store),
            )

    # --- parts of steps

    def _require_variables(self) -> None:
        missing = [name for name in required_variables(self.environment) if not self.variables.get(name)]
        if missing and not self.run.dry_run:
            raise Stop(f"not set: {', '.join(missing)} (steps groups and registration set them, or export them)")

    def _new_client_secret(self) -> str:
        """A client secret for a year, beside those that exist."""
        return self.run.change(
            "creates a client secret of the app registration, valid for a year",
            *("az", "ad", "app", "credential", "reset", "--id", self.variable("SIGN_IN_CLIENT_ID"), "--append"),
            *("--display-name", f"container-apps-{datetime.now(UTC):%Y-%m-%d}", "--years", "1", "--query", "password"),
            *("--output", "tsv"),
        )

    def _pipeline_roles(self, purpose: str, scope: str) -> list[tuple[str, str]]:
        """Roles of an identity that deploys or that shows what would change, with their conditions."""
        if purpose == "deploy":
            roles = ", ".join(role_ids())
            clauses = [
                f"((!(ActionMatches{{'Microsoft.Authorization/roleAssignments/{verb}'}})) OR "
                f"({place}[Microsoft.Authorization/roleAssignments:RoleDefinitionId] "
                f"ForAnyOfAnyValues:GuidEquals {{{roles}}}))"
                for verb, place in (("write", "@Request"), ("delete", "@Resource"))
            ]
            condition = " AND ".join(clauses)
            return [("Contributor", ""), ("AcrPush", ""), ("Role Based Access Control Administrator", condition)]
        name = f"patient-flow-what-if-{self.environment}"
        verbs = [f"Microsoft.Resources/deployments/{verb}/action" for verb in ("validate", "whatIf")]
        definition = {"Name": name, "Actions": ["*/read", *verbs], "AssignableScopes": [scope]}
        found = self.az("role", "role", "definition", "list", "--name", name, "--scope", scope, "--query", "[0].id")
        self.create(
            f"creates role {name}",
            found,
            *("role", "definition", "create", "--role-definition", json.dumps(definition)),
        )
        return [(name, "")]


# Steps that the script makes by itself, then those that somebody asks for by name.
STEPS = (
    *("tools", "groups", "registration", "resource-group", "infrastructure", "secrets", "databases"),
    *("apps", "redirects", "departments", "smoke"),
)
ON_REQUEST = ("simulate", "ci", "close")
