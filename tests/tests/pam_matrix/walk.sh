# Every PAM service of this machine, for a home's user in all states of the home, a classic user, and a name nobody has.
# A line each: service, user, state, what was brought: how it ended, and what was said. How long each took goes to the errors.
export LC_ALL=C
# What others say to everybody has nothing to do with us.
quiet='^Last login|^Linux |^The programs|^the exact|^individual|^Debian GNU|^permitted|^$'

cell() {
    service=$1 user=$2 state=$3 brings=$4
    case $brings in
        password) hooks="authenticate acct_mgmt" typed="correcthorse\n" ;;
        wrong) hooks=authenticate typed="wrong\nwrong\nwrong\n" ;;
        nothing) hooks=acct_mgmt typed= ;;
        session) hooks=open_session typed= ;;
    esac
    # What was proved before is not to be told from an open home.
    [ $state != inactive ] || homectl deactivate alice >/dev/null 2>&1
    # A service that is none of the terminal's names no terminal.
    tty="-I tty=/dev/tty9"
    case $service in cron|systemd-user) tty= ;; sshd) tty="-I tty=ssh" ;; esac
    began=$(date +%s%N)
    printf "$typed" | timeout 60 pamtester $tty $service $user $hooks >/run/said 2>&1 && end=in || end=refused
    took=$((($(date +%s%N) - began) / 1000000))
    echo "$took ms: $service, $user, $state, $brings" >&2
    said=$(grep -vE "$quiet" /run/said | sed -E 's/^Password: //; s/pamtester: //' | grep -vE 'successfully|account management done' | tr '\n' ' ' | sed 's/ *$//')
    echo "$service, $user, $state, $brings: $end${said:+: $said}"
}

# What runs as the greeter itself, or asks for a card or a finger, has no password of a user to hand on.
services=$(ls /etc/pam.d /usr/lib/pam.d | grep -vE '^(common-|.*:$|$|other|.*-greeter$|gdm-(launch|fingerprint|smartcard))' | sort -u)
sessions() { for service in cron gdm-password greetd lightdm login sddm sshd su systemd-user; do cell $service alice $1 session; done; }
row() { for service in $services; do cell $service "$@"; done; }

strangers() {
    row bob - password
    row bob - nothing
    row nosuch - wrong
}

closed() {
    row alice inactive password
    row alice inactive nothing
    sessions inactive
    mv /home/alice.home /root/
    row alice absent nothing
    sessions absent
    cell login alice absent password
    mv /root/alice.home /home/
    until homectl list -j | grep -q '"inactive"'; do sleep 0.1; done
    homectl unregister alice
    until homectl list -j | grep -q '"unfixated"'; do sleep 0.1; done
    # How often nothing is brought is counted in this state.
    for service in cron login sddm sshd su; do cell $service alice unfixated nothing; done
    sessions unfixated
    cell login alice unfixated wrong
    cell login alice unfixated password
}

open() {
    PASSWORD=correcthorse setsid homectl with alice sleep infinity >/dev/null 2>&1 &
    until homectl list -j | grep -q '"active"'; do sleep 0.1; done
    row alice active nothing
    cell login alice active password
    cell login alice active wrong
    homectl lock alice
    row alice locked nothing
    sessions locked
    cell login alice locked wrong
    cell login alice locked password
}

$PART
