#!/usr/bin/env bash
# Does what was deployed work? Asks the control plane only, so that it runs from outside the network as well; the
# pipeline itself is judged by its own asset checks and by the alerts of infra/bicep/modules/alerts.bicep.
#
#   infra/pipelines/smoke-test.sh RESOURCE_GROUP
set -euo pipefail
group=$1
# Reading logs is an extension of az, which at a desk would ask before it installs one.
export AZURE_EXTENSION_USE_DYNAMIC_INSTALL=yes_without_prompt

for app in code daemon ui dashboard; do
    for attempt in $(seq 30); do
        state=$(az containerapp show --name "$app" --resource-group "$group" \
            --query 'properties.{running: runningStatus, latest: latestRevisionName, ready: latestReadyRevisionName}' --output tsv)
        read -r running latest ready <<<"$state"
        if [ "$running" = Running ] && [ "$latest" = "$ready" ]; then
            echo "$app runs revision $ready"
            break
        fi
        [ "$attempt" -lt 30 ] || { echo "$app: $running, newest revision $latest, ready $ready" >&2; exit 1; }
        sleep 10
    done
done

# Nobody comes in without signing in: each page has its sign-in, with groups, and answers with a redirect to Entra ID, or
# not at all from out here.
for app in ui viewer dashboard; do
    groups=$(az containerapp auth show --name "$app" --resource-group "$group" --output tsv --query \
        "identityProviders.azureActiveDirectory.validation.defaultAuthorizationPolicy.allowedPrincipals.groups | length(@)")
    [ "${groups:-0}" -gt 0 ] || { echo "$app has no sign-in for a group: deploy again" >&2; exit 1; }
    host=$(az containerapp show --name "$app" --resource-group "$group" \
        --query properties.configuration.ingress.fqdn --output tsv)
    code=$(curl --silent --output /dev/null --max-time 20 --write-out '%{http_code}' "https://$host/" || true)
    case $code in
        302 | 401 | 403 | 000) echo "$app is closed to strangers ($code)" ;;
        *) echo "$app answers a stranger with $code: is sign-in on?" >&2; exit 1 ;;
    esac
done

# And who belongs can: with a client secret, Container Apps asks Entra ID for an ID token and returns to the page. An
# identity without the right to read app registrations skips this (deploy.md, "Checks before going live").
client=$(az containerapp auth show --name ui --resource-group "$group" --output tsv \
    --query identityProviders.azureActiveDirectory.registration.clientId)
if registration=$(az ad app show --id "$client" --output json \
    --query '{tokens: web.implicitGrantSettings.enableIdTokenIssuance, uris: web.redirectUris}' 2>/dev/null); then
    case $registration in
        *'"tokens": true'*) echo "the app registration issues ID tokens" ;;
        *) echo "nobody can sign in: az ad app update --id $client --enable-id-token-issuance true" >&2; exit 1 ;;
    esac
    for app in ui viewer dashboard; do
        host=$(az containerapp show --name "$app" --resource-group "$group" \
            --query properties.configuration.ingress.fqdn --output tsv)
        case $registration in
            *"https://$host/.auth/login/aad/callback"*) ;;
            *) echo "nobody can sign in to $app: its redirect URI is missing in app registration $client" >&2; exit 1 ;;
        esac
    done
fi

# Within five minutes the sensor has looked at the hub at least once.
workspace=$(az monitor log-analytics workspace list --resource-group "$group" --query '[0].customerId' --output tsv)
query='ContainerAppConsoleLogs | where TimeGenerated > ago(10m) | where ContainerAppName == "daemon" | where Log has "event_hub_backlog" | count'
exec 3>/dev/null
for attempt in $(seq 30); do
    # Until its first row the table does not exist, which is an error: only the last one is of interest.
    [ "$attempt" -lt 30 ] || exec 3>&2
    ticks=$(az monitor log-analytics query --workspace "$workspace" --analytics-query "$query" --query '[0].Count' --output tsv 2>&3 || echo 0)
    if [ "${ticks:-0}" -gt 0 ]; then
        echo "the sensor ticks"
        exit 0
    fi
    sleep 10
done
echo "no tick of the sensor in the log: look at the apps daemon and code" >&2
exit 1
