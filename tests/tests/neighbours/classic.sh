# What people without a home of ours do with their passwords. A line each: what, and how it ended.
# Prints the same whatever else is installed, as long as it harms nobody. With HOW=short only passwords are changed.
export LC_ALL=C
say() { echo "$1: $2"; echo "$(date +%T) $1: $2" >&2; }

# Somebody else becomes that user: by_stranger USER PASSWORD
by_stranger() {
    echo "$2" | setpriv --reuid=65534 --regid=65534 --clear-groups su "$1" -c 'id -un' 2>/dev/null
}

# Types one answer per question at a terminal of its own: typed NAME 'QUESTION' 'ANSWER' … -- COMMAND…
typed() {
    name=$1; shift
    pairs=
    while [ "$1" != -- ]; do
        pairs="$pairs expect -ex {$1} {} timeout { exit 99 } eof { exit 98 }; send -- {$2}; send \\r;"
        shift 2
    done
    shift
    expect -c "set timeout 40; log_file -noappend /run/typed.log; spawn -noecho $*; $pairs expect eof {} timeout { exit 97 }; exit [lindex [wait] 3]" >/dev/null 2>&1
    status=$?
    say "$name" $status
    # It asked for less or more than it should.
    [ $status -lt 97 ] || sed 's/^/    /' /run/typed.log
    return 0
}

for user in bob carol dora; do userdel -f -r $user >/dev/null 2>&1; done
useradd -m -s /bin/bash bob; say useradd $?
echo 'bob:Quartz7-lamp' | chpasswd 2>&1; say chpasswd $?
printf 'Copper8-lamp\nCopper8-lamp\n' | passwd bob >/run/out 2>&1; say 'passwd bob, by root' $?
by_stranger bob Copper8-lamp; say 'su, by a stranger' $?
by_stranger bob wrong; say 'su, wrong password' $?
echo 'bob ALL=(ALL) ALL' >/etc/sudoers.d/bob
echo 'Copper8-lamp' | su bob -c 'sudo -S -k id -un' 2>/dev/null; say sudo $?
typed 'passwd, by bob' 'urrent password:' Copper8-lamp 'ew password:' 'Nickel9-lamp' 'etype new password:' 'Nickel9-lamp' -- su bob -c passwd
by_stranger bob Nickel9-lamp; say 'su, after passwd' $?
[ "$HOW" = short ] && exit 0
typed 'passwd, wrong current password' 'urrent password:' wrong -- su bob -c passwd
chage -d 0 bob; say chage $?
typed 'su, change forced' 'assword:' 'Nickel9-lamp' 'urrent password:' 'Nickel9-lamp' 'ew password:' 'Cobalt1-lamp' 'etype new password:' 'Cobalt1-lamp' -- setpriv --reuid=65534 --regid=65534 --clear-groups su bob -c true
by_stranger bob Cobalt1-lamp; say 'su, after the change' $?
chage -E 0 bob; by_stranger bob Cobalt1-lamp; say 'su, account expired' $?; chage -E -1 bob
passwd -l bob >/dev/null 2>&1; passwd -u bob >/dev/null 2>&1; say 'lock and unlock' $?
passwd -d bob >/dev/null 2>&1; setpriv --reuid=65534 --regid=65534 --clear-groups su bob -c 'id -un' </dev/null 2>/dev/null; say 'su, no password' $?
echo 'bob:Cobalt1-lamp' | chpasswd
printf '#!/bin/sh\necho Cobalt1-lamp\n' >/run/ask; chmod +x /run/ask
for method in password keyboard-interactive; do
    SSH_ASKPASS=/run/ask SSH_ASKPASS_REQUIRE=force setsid -w ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
        -o PreferredAuthentications=$method -o NumberOfPasswordPrompts=1 bob@localhost 'id -un' 2>/dev/null; say "ssh, $method" $?
done
printf 'Quartz2-lamp\nQuartz2-lamp\n' | adduser --quiet --comment '' carol >/run/out 2>&1; say adduser $?
by_stranger carol Quartz2-lamp; say 'su, new user' $?
echo 'dora:Quartz3-lamp:::Dora:/home/dora:/bin/sh' | newusers 2>/dev/null; say newusers $?
by_stranger dora Quartz3-lamp; say 'su, of newusers' $?
printf 'Quartz4-lamp\nQuartz4-lamp\n' | passwd root >/run/out 2>&1; say 'passwd root' $?
by_stranger root Quartz4-lamp; say 'su to root' $?
echo 'root:machine' | chpasswd; say 'chpasswd, root' $?
chsh -s /bin/sh bob; say chsh $?
chfn -r 1 bob; say chfn $?
passwd nosuch >/run/out 2>&1; say 'passwd, of nobody' $?
echo 'nosuch:Quartz7-lamp' | chpasswd 2>/dev/null; say 'chpasswd, of nobody' $?
su nosuch -c true 2>/dev/null; say 'su, of nobody' $?
runuser -u bob id 2>&1 | sed 's/.*(bob).*/bob/'; say runuser $?
if command -v cron >/dev/null; then
    printf '@reboot id -un > /home/bob/cron; mkfifo /home/bob/ran; cat /home/bob/ran\n' | crontab -u bob -
    rm -f /run/crond.reboot; systemctl restart cron
    timeout 30 sh -c 'until [ -p /home/bob/ran ]; do sleep 0.1; done; echo > /home/bob/ran'; say cron $?
    cat /home/bob/cron; crontab -u bob -r
fi
systemctl is-failed 'user@*.service' >/dev/null && systemctl --failed --no-legend
:
