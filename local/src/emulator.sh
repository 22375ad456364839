# Runs an emulator of Lambda, and sees to it that it ends when the process that wants it ends, however that ends.
#
# $1       what to do for a shell after the end, however it ended; empty: nothing
# $2 …     the command line
# stdin    a pipe whose other end only the parent holds. When it closes, because the parent let go of it or was
#          killed, the emulator is asked to end, which ends its functions, and killed if it does not.
# stderr   all that it and its functions say

after=$1
shift

# What ends a terminal's jobs must not end this shell first: nobody would be left to clean up.
trap '' HUP INT PIPE TERM

# A background job of a shell has no standard input of its own; the pipe moves aside for the watcher.
exec 3<&0 </dev/null

( trap - HUP INT PIPE TERM; exec "$@" ) 3<&- >&2 &
child=$!

(
    # It says nothing: it only closes.
    read -r _ <&3
    kill -TERM "$child"
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        sleep 0.5
        kill -0 "$child" || exit
    done
    kill -KILL "$child"
) >/dev/null 2>&1 &
watcher=$!
exec 3<&-

wait "$child"
status=$?
kill -KILL "$watcher" 2>/dev/null
eval "$after" >/dev/null 2>&1
exit "$status"
