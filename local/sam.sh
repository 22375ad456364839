#!/usr/bin/env bash
# What `cargo local sam` does, step by step, for those who want to change one: in one terminal
#
#   local/sam.sh database   # a Docker network, and `cargo local` reachable from it
#
# and, when that is ready, in another one
#
#   local/sam.sh api        # sam build, sam local start-lambda, sam local start-api
#
# Both run until Ctrl-C, and pass further options on, such as `--port 0` to `cargo local` and `--port 3001` to
# `sam local start-api`.
set -euo pipefail
cd "$(dirname "$0")/.."
part=${1:-}
further=("${@:2}")

# Removes the containers of sam that are left in the network.
remove_containers() {
  docker ps --all --quiet --filter network=oms | while read -r it; do docker rm --force "$it"; done > /dev/null
}

case $part in
  database)
    docker network inspect oms > /dev/null 2>&1 || docker network create oms
    # Containers reach this machine at the gateway of their network. MongoDB listens there too.
    exec cargo local --docker-network oms "${further[@]+"${further[@]}"}"
    ;;
  api)
    architecture=$(uname -m | sed s/aarch64/arm64/)
    sam build --parameter-overrides "Architecture=$architecture"
    # Writes local/env.json, which has secrets, and sets HOST_FOR_CONTAINERS and BASE_IMAGE.
    variables=$(cargo local env --sam)
    eval "$variables"
    options=(--env-vars local/env.json --parameter-overrides "Architecture=$architecture" --docker-network oms
      --invoke-image "$BASE_IMAGE" --skip-pull-image --warm-containers EAGER)
    sam local start-lambda --host "$HOST_FOR_CONTAINERS" "${options[@]}" &
    # In the background it gets no Ctrl-C, and after another signal its containers stay.
    trap 'kill $! 2> /dev/null || true; wait $! || true; remove_containers' EXIT
    sam local start-api "${options[@]}" "${further[@]+"${further[@]}"}"
    ;;
  *)
    echo "usage: local/sam.sh database | api [OPTION...]" >&2
    exit 2
    ;;
esac
