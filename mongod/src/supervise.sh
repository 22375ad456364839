# Runs mongod, and ends it when the parent process ends in any way.
#
# $1       folder to remove at the end; empty: none
# $2 …     command line of mongod
# stdin    pipe whose other end only the parent holds. The word "stop" asks mongod to shut down in order. When
# the
#          pipe closes, because the parent dropped it or was killed, mongod is killed: its journal makes that
#          safe.
# stdout   one line: the process ID of mongod
# stderr   the log

folder=$1
shift

# A signal to the terminal's jobs, or a parent that dies before it reads the line, must not end this shell
# before
# mongod: the cleanup below would be lost.
trap '' HUP INT PIPE TERM

# A background job of a shell has no standard input of its own. The pipe is moved, so that only the watcher
# reads it.
exec 3<&0 </dev/null

# mongod shuts down in order on TERM, so it must not ignore it.
( trap - HUP INT PIPE TERM; exec "$@" ) 3<&- >&2 &
mongod=$!

# `read` is a builtin of the shell: there is no further process that could be left behind.
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
