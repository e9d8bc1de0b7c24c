#!/bin/bash
# Runs commands for the test on the host, as runner.sh does, without a shared folder (none of those that qemu has
# survives a suspend). Asked over the serial line, in base64: "run N =USER =COMMAND =STDIN"; answers
# "done N STATUS =STDOUT =STDERR".
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
exec 3<>/dev/ttyS2
stty raw -echo <&3
scratch=$(mktemp -d /dev/shm/runner.XXXXXX)
: > "$scratch/lock"

run() {
    local number=$1 user status as=() place=$scratch/$1
    user=$(base64 -d <<<"${2#=}")
    base64 -d <<<"${3#=}" > "$place.command"
    base64 -d <<<"${4#=}" > "$place.stdin"
    if [ -n "$user" ]; then
        as=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --init-groups --reset-env)
        chmod 755 "$scratch"
    fi
    "${as[@]}" bash "$place.command" <"$place.stdin" >"$place.stdout" 2>"$place.stderr" 3>&-
    status=$?
    {
        # One answer at a time.
        flock 4
        echo "done $number $status =$(base64 -w0 < "$place.stdout") =$(base64 -w0 < "$place.stderr")" >&3
    } 4<"$scratch/lock"
    rm -f "$place".*
}

echo ready >&3
while read -r verb number user command stdin <&3; do
    [ "$verb" = run ] && run "$number" "$user" "$command" "$stdin" &
done
