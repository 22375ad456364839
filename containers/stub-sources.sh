#!/bin/sh
# Leaves the manifests of a workspace, and an empty source for each target that they name or that cargo finds by itself.
set -eu
find . -type f ! -name Cargo.toml ! -name Cargo.lock ! -name rust-toolchain.toml -exec rm {} +
find . -name Cargo.toml | while read -r manifest; do
  package=$(dirname "$manifest")
  grep -q '^\[package\]' "$manifest" || continue
  mkdir -p "$package/src"
  echo 'fn main() {}' > "$package/src/main.rs"
  : > "$package/src/lib.rs"
  if grep -q '^\[build-dependencies\]' "$manifest"; then echo 'fn main() {}' > "$package/build.rs"; fi
  # Targets with a path of their own.
  sed -n 's/^path = "\(.*\.rs\)"/\1/p' "$manifest" | while read -r path; do
    mkdir -p "$(dirname "$package/$path")"
    echo 'fn main() {}' > "$package/$path"
  done
  # Targets that are found by their name.
  sed -n '/^\[\[\(test\|bench\|example\)\]\]/{n;p;}' "$manifest" | sed -n 's/^name = "\(.*\)"/\1/p' | while read -r name; do
    for folder in tests benches examples; do
      mkdir -p "$package/$folder"
      echo 'fn main() {}' > "$package/$folder/$name.rs"
    done
  done
done
