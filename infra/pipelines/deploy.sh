#!/usr/bin/env bash
# One deployment, the same for GitHub Actions, Azure DevOps and a desk with `az login`:
#
#   IMAGE_NAME=patient-flow:COMMIT APPS_READY=true infra/pipelines/deploy.sh RESOURCE_GROUP dev|prod
#
# Order matters: image before apps (they pull it), tables before the new code writes them.
set -euo pipefail
cd "$(dirname "$0")/../.."
group=$1 environment=$2
: "${IMAGE_NAME:?as in patient-flow:COMMIT}"

init_warehouse() {
    local execution state
    execution=$(az containerapp job start --name warehouse-init --resource-group "$group" --query name --output tsv)
    for _ in $(seq 120); do
        state=$(az containerapp job execution show --name warehouse-init --resource-group "$group" \
            --job-execution-name "$execution" --query properties.status --output tsv)
        case $state in
            Succeeded) echo "warehouse is ready"; return ;;
            Failed | Degraded | Stopped) echo "warehouse-init: $state, see its logs in the portal" >&2; exit 1 ;;
        esac
        sleep 10
    done
    echo "warehouse-init did not end within 20 minutes" >&2
    exit 1
}

# Auto-inflate raises throughput units and nothing lowers them: the parameter file keeps what the namespace has now.
THROUGHPUT_UNITS=$(az eventhubs namespace list --resource-group "$group" --query '[0].sku.capacity' --output tsv)
if [ -n "$THROUGHPUT_UNITS" ]; then export THROUGHPUT_UNITS; else unset THROUGHPUT_UNITS; fi

registry=$(az acr list --resource-group "$group" --query '[0].name' --output tsv)
server=$(az acr show --name "$registry" --query loginServer --output tsv)
if ! az acr repository show --name "$registry" --image "$IMAGE_NAME" --output none 2>/dev/null; then
    az acr login --name "$registry"
    # The digest of the day, so that this commit's image can be built again bit for bit.
    base=python:3.11.14-slim-bookworm
    digest=$(docker buildx imagetools inspect "$base" --format '{{.Manifest.Digest}}')
    docker build --pull --file infra/images/Dockerfile --build-arg "PYTHON_IMAGE=$base@$digest" --tag "$server/$IMAGE_NAME" .
    docker push "$server/$IMAGE_NAME"
fi

# The job of the deployment before, with the new image: apps start the new code as soon as they are deployed.
jobs=$(az containerapp job list --resource-group "$group" --query "[?name=='warehouse-init'] | length(@)" --output tsv)
if [ "$jobs" -gt 0 ]; then
    az containerapp job update --name warehouse-init --resource-group "$group" --image "$server/$IMAGE_NAME" --output none
    init_warehouse
fi

az deployment group create --name "patient-flow-$environment" --resource-group "$group" \
    --parameters "infra/bicep/$environment.bicepparam" --output none

# The first deployment makes the job itself.
if [ "$jobs" -eq 0 ]; then
    init_warehouse
fi
