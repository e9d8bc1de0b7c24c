#!/bin/bash
# Runs commands for the test on the host. Asked over the serial line: "run N"; the request lies in the
# shared folder as N/command, N/stdin, N/user. Answers "done N STATUS" when N/stdout and N/stderr are there.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
line=/dev/ttyS2
folder=/run/machine
mkdir -p $folder
mountpoint -q $folder || mount -t hostfs none $folder -o hostfs=/mnt/machine/exchange
exec 3<>$line
stty raw -echo <&3
# Output is kept inside until the command has ended: a daemon that it left behind may hold it open.
scratch=$(mktemp -d /dev/shm/runner.XXXXXX)

run() {
    local request=$folder/$1 status user as=()
    user=$(<"$request/user")
    if [ -n "$user" ]; then
        as=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --init-groups --reset-env)
    fi
    "${as[@]}" bash "$request/command" <"$request/stdin" >"$scratch/$1.stdout" 2>"$scratch/$1.stderr" 3>&-
    status=$?
    cp "$scratch/$1.stdout" "$request/stdout"
    cp "$scratch/$1.stderr" "$request/stderr"
    rm -f "$scratch/$1".*
    echo "done $1 $status" >&3
}

echo ready >&3
while read -r verb number <&3; do
    [ "$verb" = run ] && run "$number" &
done
