# Runs an emulator of Lambda, and ends it when the parent process ends in any way.
#
# $1       shell commands to run after the end; may be empty
# $2 …     command line
# stdin    pipe whose other end only the parent holds. When it closes, because the parent dropped it or was
#          killed, the emulator is asked to end, which ends its functions, and killed if it does not.
# stderr   output of the emulator and its functions

after=$1
shift

# A signal to the terminal's jobs must not end this shell first: the cleanup below would be lost.
trap '' HUP INT PIPE TERM

# A background job of a shell has no standard input of its own, so the pipe is moved for the watcher.
exec 3<&0 </dev/null

( trap - HUP INT PIPE TERM; exec "$@" ) 3<&- >&2 &
child=$!

(
    # Nothing is ever written to the pipe: it only closes.
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
