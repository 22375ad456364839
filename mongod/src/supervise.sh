# Runs mongod, and sees to it that mongod ends when the process that wants it ends, however that ends.
#
# $1       the folder to remove at the end; empty: none
# $2 …     the command line of mongod
# stdin    a pipe whose other end only the parent holds. The word "stop" asks mongod to end in order. When the
#          pipe closes, because the parent let go of it or was killed, mongod is killed: its journal makes that safe.
# stdout   one line: the process ID of mongod
# stderr   the log

folder=$1
shift

# What ends a terminal's jobs, or a parent that is gone before it has read the line, must not end this shell
# before mongod: nobody would be left to clean up.
trap '' HUP INT PIPE TERM

# A background job of a shell has no standard input of its own; the pipe moves aside so that only the watcher reads it.
exec 3<&0 </dev/null

# mongod itself takes TERM for a request to end in order, so it is not to be ignored there.
( trap - HUP INT PIPE TERM; exec "$@" ) 3<&- >&2 &
mongod=$!

# `read` is part of the shell: there is no further process that could be left behind.
(
    while read -r word; do
        if [ "$word" = stop ]; then kill -TERM "$mongod"; fi
    done <&3
    kill -KILL "$mongod"
) >/dev/null 2>&1 &
watcher=$!

echo "$mongod" 2>/dev/null
exec 3<&- >&2

wait "$mongod"
status=$?

kill -KILL "$watcher" 2>/dev/null
if [ -n "$folder" ]; then rm -rf -- "$folder"; fi
exit "$status"
