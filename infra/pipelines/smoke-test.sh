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

# Nobody comes in without signing in: the pages answer with a redirect to Entra ID, or not at all from out here.
for app in ui viewer dashboard; do
    host=$(az containerapp show --name "$app" --resource-group "$group" \
        --query properties.configuration.ingress.fqdn --output tsv)
    code=$(curl --silent --output /dev/null --max-time 20 --write-out '%{http_code}' "https://$host/" || true)
    case $code in
        302 | 401 | 403 | 000) echo "$app is closed to strangers ($code)" ;;
        *) echo "$app answers a stranger with $code: is sign-in on?" >&2; exit 1 ;;
    esac
done

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
