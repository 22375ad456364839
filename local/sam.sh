#!/usr/bin/env bash
# The functions as `sam build` packs them, under `sam local`, step by step and without `cargo local sam`. Two terminals:
#
#   local/sam.sh database   # MongoDB, where containers can reach it
#   local/sam.sh api        # the API on port 3000, and calls between the functions on port 3001
#
# Containers reach this machine at the gateway of their network. MongoDB listens there too, and asks for no password.
set -euo pipefail
cd "$(dirname "$0")/.."
network=oms

database() {
  docker network inspect "$network" > /dev/null 2>&1 || docker network create "$network"
  exec cargo local --docker-network "$network"
}

api() {
  local architecture variables options
  architecture=$(uname -m | sed s/aarch64/arm64/)
  sam build --parameter-overrides "Architecture=$architecture"
  # Writes local/env.json, which has secrets, and prints HOST_FOR_CONTAINERS and BASE_IMAGE.
  variables=$(cargo local env --sam)
  eval "$variables"
  options=(
    --env-vars local/env.json
    --parameter-overrides "Architecture=$architecture"
    --docker-network "$network"
    --invoke-image "$BASE_IMAGE"
    --skip-pull-image
    --warm-containers EAGER
  )
  sam local start-lambda --host "$HOST_FOR_CONTAINERS" "${options[@]}" &
  trap 'kill "$!" 2> /dev/null || true' EXIT
  sam local start-api "${options[@]}"
}

case ${1:-} in
  database | api) "$1" ;;
  *)
    echo "usage: local/sam.sh database | api" >&2
    exit 2
    ;;
esac
