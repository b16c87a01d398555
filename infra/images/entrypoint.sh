#!/bin/sh
# What this container is, by its first argument. One image, so that all parts always have the same code.
set -eu

# delta-rs asks the virtual machine's metadata service for tokens unless told otherwise; Container Apps has its own
# endpoint, which it names here (and whose secret delta-rs finds in IDENTITY_HEADER by itself).
if [ -n "${IDENTITY_ENDPOINT:-}" ]; then
    export AZURE_MSI_ENDPOINT="${AZURE_MSI_ENDPOINT:-$IDENTITY_ENDPOINT}"
fi

part="${1:-help}"
[ $# -eq 0 ] || shift

case "$part" in
    code)      exec dagster api grpc --host 0.0.0.0 --port 4000 --module-name patient_flow.definitions --location-name patient_flow "$@" ;;
    daemon)    exec dagster-daemon run --workspace "$DAGSTER_HOME/workspace.yaml" "$@" ;;
    ui)        exec dagster-webserver --host 0.0.0.0 --port 3000 --workspace "$DAGSTER_HOME/workspace.yaml" "$@" ;;
    dashboard) exec patient-flow dashboard --host 0.0.0.0 --port 8050 "$@" ;;
    help)      echo "usage: code | daemon | ui [--read-only] | dashboard | COMMAND [ARGUMENT...]" >&2; exit 64 ;;
    *)         exec "$part" "$@" ;;
esac
