# Creates the smallest image in which sam can run the functions, from the files of this machine: a shell, the
# few tools that sam's Dockerfile uses, and the shared libraries of all of them. The functions use nothing else
# of AWS's own image: root certificates are in the programs.
#
# $1       name of the image
# $2       name of the image that sam derived from an older one under this name, and that must be made again
# stdout   nothing of interest
# stderr   error messages

set -e
# Where a tool is a link to busybox, the link's name is the tool's.
functions=$(ls .aws-sam/build/*/bootstrap) || { echo 'run sam build first' >&2; exit 1; }
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/bin" "$root/tmp" "$root/opt" "$root/var/task" "$root/var/rapid" "$root/var/runtime"
chmod 1777 "$root/tmp"

with_libraries() {
    # Such as "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)" and, for the loader, "/lib64/ld-linux… (0x…)".
    for library in $(ldd "$1" | sed -n 's|^[^/]*\(/[^ ]*\) (0x.*|\1|p'); do
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
    done
}

for tool in sh mv chmod cp rm ls cat env; do
    path=$(command -v "$tool")
    cp -L "$path" "$root/bin/$tool"
    with_libraries "$path"
done
echo "$functions" | while read -r function; do with_libraries "$function"; done

docker image rm "$2" >/dev/null 2>&1 || true
tar -C "$root" -c . | docker import --change 'ENV PATH=/bin' - "$1"
