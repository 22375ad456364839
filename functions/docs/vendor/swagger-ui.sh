#!/usr/bin/env bash
# Fetches the page's library, Swagger UI, from npm into the folder swagger-ui beside this script. Needs Node.js with
# npm, tar and diff.
#
#   functions/docs/vendor/swagger-ui.sh VERSION   takes another version, such as 5.35.0, or `latest`
#   functions/docs/vendor/swagger-ui.sh --check   says whether what is committed is what npm has, byte for byte
set -euo pipefail
folder=$(cd "$(dirname "$0")" && pwd)/swagger-ui
# What the page needs, and what the licences want beside it.
files=(swagger-ui-bundle.js swagger-ui.css LICENSE NOTICE swagger-ui-bundle.js.LICENSE.txt)

case ${1:-} in
  --check) version=$(cat "$folder/VERSION") ;;
  '' | -*) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
  *) version=$1 ;;
esac

fetched=$(mktemp -d)
trap 'rm -rf "$fetched"' EXIT
# npm compares the package with the checksum that its registry has for it.
(cd "$fetched" && npm pack --silent "swagger-ui-dist@$version" > name && tar -xzf "$(tail -n 1 name)")
version=$(node -p 'JSON.parse(require("fs").readFileSync(0)).version' < "$fetched/package/package.json")

if [ "$1" = --check ]; then
  for file in "${files[@]}"; do
    diff -q "$fetched/package/$file" "$folder/$file"
  done
  echo "swagger-ui is version $version as npm has it"
else
  mkdir -p "$folder"
  for file in "${files[@]}"; do
    cp "$fetched/package/$file" "$folder/"
  done
  echo "$version" > "$folder/VERSION"
  echo "swagger-ui is version $version now; .ci/docs-page tries the page in a browser"
fi
