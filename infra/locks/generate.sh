#!/usr/bin/env bash
# Writes the hashes of everything that CI and the image install, after a version in pyproject.toml, package.json or here
# changed. A package that was exchanged under the same version is then refused.
#
#   infra/locks/generate.sh
#
# The files name no registry: each installation asks the one that it is configured for.
set -euo pipefail
cd "$(dirname "$0")"
uv_version=0.13.9 checkov_version=3.3.30

(cd ../.. && uv export --quiet --format requirements-txt --all-groups --all-extras --no-emit-project --no-annotate \
    --no-header --output-file infra/locks/python.txt >/dev/null)
# Elsewhere, since the pins of this project are not those of the tools.
compile() { (cd / && uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -); }
echo "uv==$uv_version" | compile > uv.txt
echo "checkov==$checkov_version" | compile > checkov.txt
cd npm
npm install --silent --package-lock-only --omit-lockfile-registry-resolved=true --no-audit --no-fund
