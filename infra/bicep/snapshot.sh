#!/usr/bin/env bash
# Evaluates both environments with their apps and writes every resource with its values to *.snapshot.json, so that a
# review shows what a change of the templates does. No Azure, no sign-in: names and groups are made up.
#
#   infra/bicep/snapshot.sh            (BICEP=path of the compiler; default: that of `az bicep install`)
set -euo pipefail
cd "$(dirname "$0")"
bicep=${BICEP:-$HOME/.azure/bin/bicep}
export APPS_READY=true IMAGE_NAME=patient-flow:none DATABASE_ADMINS_GROUP_NAME=patient-flow-database-admins \
    SIGN_IN_CLIENT_ID=11111111-1111-1111-1111-111111111111 DATABASE_ADMINS_GROUP_ID=21111111-1111-1111-1111-111111111111 \
    OPERATORS_GROUP_ID=31111111-1111-1111-1111-111111111111 VIEWERS_GROUP_ID=41111111-1111-1111-1111-111111111111 \
    DASHBOARD_GROUP_ID=51111111-1111-1111-1111-111111111111
for environment in dev prod; do
    "$bicep" snapshot "$environment.bicepparam" --mode "${1:-overwrite}" --subscription-id 00000000-0000-0000-0000-000000000001 \
        --resource-group rg --location francecentral --tenant-id 00000000-0000-0000-0000-000000000002
done
