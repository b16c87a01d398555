"""What a person does after the script: each with its command and how to see that it worked."""

from __future__ import annotations

import shlex

from deploying.azure import Azure

PLANS = ("StorageAccounts", "Containers", "KeyVaults", "SqlServers")


def checklist(azure: Azure) -> str:
    """The list with the names of this deployment; a name that is not known yet stands in angle brackets."""
    group, environment = azure.group, azure.environment
    outputs: dict[str, str] = azure.state.known["outputs"]
    vault = outputs.get("vaultName", "<vaultName>")
    app = azure.variables.get("SIGN_IN_CLIENT_ID", "<SIGN_IN_CLIENT_ID>")
    viewers = azure.variables.get("DASHBOARD_GROUP_ID", "<DASHBOARD_GROUP_ID>")
    again = f"infra/deploy {environment}"
    in_group = f"--resource-group {shlex.quote(group)}"
    items = [
        (
            "Keep a copy of the three keys outside Azure (sealed envelope), with the role Key Vault Secrets Officer",
            *(
                f"az keyvault secret show --vault-name {vault} --name {key} --query value --output tsv"
                for key in ("pseudonym-key", "erasure-key", "access-log-key")
            ),
            "worked: 64 characters each, and somebody else can open the envelope",
        ),
        (
            "Turn on Defender for the subscription",
            *(f"az security pricing create --name {plan} --tier standard" for plan in PLANS),
            *(
                f"worked: az security pricing show --name {plan} --query pricingTier prints Standard"
                for plan in PLANS[:1]
            ),
        ),
        (
            "Put people into their groups, here the dashboard's",
            f"az ad group member add --group {viewers} --member-id "
            "$(az ad user show --id PERSON --query id --output tsv)",
            f"worked: {outputs.get('dashboardUrl') or '<dashboardUrl>'} shows PERSON the dashboard, and refuses others",
        ),
        (
            "Write the end of the client secret into a calendar",
            f"az ad app credential list --id {app} --query '[].endDateTime' --output tsv",
            "worked: the date is in a year; renew with az keyvault secret set and infra/deploy ENVIRONMENT apps",
        ),
        (
            "Join the network with the hospital's",
            f"az network vnet list {in_group} --query '[0].id' --output tsv",
            f"az network vnet peering create --name to-hospital {in_group} --vnet-name NETWORK "
            "--remote-vnet HOSPITAL_ID --allow-vnet-access",
            f"worked: az network vnet peering list {in_group} --vnet-name NETWORK --query '[].peeringState' "
            "prints Connected, once the hospital has made the peering from its side",
        ),
        (
            "Let the hospitals' applications send (object ids of their service principals), and watch for silence",
            f"PRODUCER_PRINCIPAL_IDS='[\"…\"]' HOSPITALS_SEND=true {again} infrastructure",
            "worked: the dashboard shows the first patient two minutes after the first event",
        ),
        (
            "See what the pipeline says of itself",
            f"{again} --run 'patient-flow status'",
            "worked: lag 0, rows in every table",
        ),
        ("Analysts' access to silver: deploy.md, step 8. Power BI: powerbi.md", "worked: as said there"),
        (
            "Let GitHub deploy from now on (Azure DevOps: infra/pipelines/azure-devops.yml)",
            f"{again} ci --repository ORGANISATION/NAME",
            "worked: the workflow deploy shows a what-if, waits for the approval, and ends with the smoke test",
        ),
        (
            "Close public access and lock the stores",
            f"{again} close",
            f"worked: az lock list {in_group} --output table has five lines, and az keyvault secret list --vault-name "
            f"{vault} is refused from outside",
        ),
        ("Try a restore: disaster-recovery.md", "worked: the drill's own last line"),
    ]
    lines = ["By hand (capitals stand for what only you know):"]
    for number, (title, *rest) in enumerate(items, start=1):
        lines += [f"{number:>3}. {title}", *(f"     {line}" for line in rest)]
    return "\n".join(lines)
