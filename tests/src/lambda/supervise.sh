# Runs a function, and sees to it that it ends when the process that wants it ends, however that ends.
#
# $@       the command line of the function
# stdin    a pipe whose other end only the parent holds; when it closes, the function is killed
# stdout   one line: the process ID of the function
# stderr   what the function says, on either of its own

# What ends a terminal's jobs must not end this shell before the function: nobody would be left to end that.
trap '' HUP INT PIPE TERM

# A background job of a shell has no standard input of its own; the pipe moves aside so that only the watcher
# reads it.
exec 3<&0 </dev/null
( trap - HUP INT PIPE TERM; exec "$@" ) 3<&- >&2 &
function=$!

# `read` is part of the shell: there is no further process that could be left behind. A function that is stopped
# (SIGSTOP) is killed all the same.
( read -r _ <&3; kill -KILL "$function" ) >/dev/null 2>&1 &
watcher=$!

echo "$function" 2>/dev/null
exec 3<&- >&2

wait "$function"
status=$?
kill -KILL "$watcher" 2>/dev/null
exit "$status"
