#!/usr/bin/env bash
# The templates as Microsoft's compiler reads them: no warning of any rule, formatted, snapshots current. Needs `az`, or a
# compiler in BICEP; no sign-in.
set -euo pipefail
cd "$(dirname "$0")/../bicep"
if [ -z "${BICEP:-}" ]; then
    az bicep install
    BICEP=$HOME/.azure/bin/bicep
fi
export BICEP
warnings=$("$BICEP" lint main.bicep 2>&1) || { echo "$warnings" >&2; exit 1; }
[ -z "$warnings" ] || { echo "$warnings" >&2; exit 1; }
for file in *.bicep *.bicepparam modules/*.bicep; do
    "$BICEP" format "$file" --stdout | diff "$file" - >&2 || { echo "$file: run bicep format" >&2; exit 1; }
done
./snapshot.sh validate
