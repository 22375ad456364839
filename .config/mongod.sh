#!/usr/bin/env bash
# Starts a MongoDB that ends with this run of nextest, however that ends, and tells the tests where it is.
# Nextest runs this before the tests, and reads variables for them from the file $NEXTEST_ENV.
set -euo pipefail

fail() {
  cat "$log" >&2
  rm -rf "$folder"
  exit 1
}

folder=$(mktemp -d)
log=$folder/log
# Not `--package`: with the features of the whole workspace most of it is compiled already.
cargo build --quiet --example test_server
server=${CARGO_TARGET_DIR:-target}/debug/examples/test_server

mkfifo "$folder/uri"
nextest=$PPID
# The server ends when its standard input does, which is open for as long as nextest runs. A job of its own (-m), so that
# Ctrl-C leaves it the time to clean up.
set -m
while kill -0 "$nextest" 2> /dev/null; do sleep 1; done 2> /dev/null | "$server" > "$folder/uri" 2> "$log" &
set +m
read -r uri < "$folder/uri" || fail
echo "OMS_TEST_MONGO_URI=$uri" >> "$NEXTEST_ENV"
rm -rf "$folder"
