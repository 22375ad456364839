#!/bin/sh
# Copies the libraries that programs load to a new root. Arguments: folder of the programs, root, programs.
set -eu
folder=$1 root=$2
shift 2
for program in "$@"; do
  ldd "$folder/$program"
done | sed -n 's/^[[:space:]]*\(.* => \)\{0,1\}\(\/[^ ]*\) (0x.*/\2/p' | sort -u | while read -r library; do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done
