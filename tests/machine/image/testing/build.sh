#!/bin/sh
# Makes the tree of Debian testing: build.sh TREE NEW
# NEW/tree is TREE with systemd, and what goes with it, of testing; its /opt/peer has systemd-homed of testing.
# NEW/units/{stable,testing} have the integration tests of systemd of both, as Debian packs them.
set -eu
base=$1 new=$2
tree=$new/tree
mkdir -p "$new/units"
cp -a --reflink=auto "$base" "$tree"
cp /etc/resolv.conf "$tree/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' > "$tree/usr/sbin/policy-rc.d"
chmod 755 "$tree/usr/sbin/policy-rc.d"
# systemd's scripts want to see /proc.
inside() {
    unshare --mount --pid --fork env -i PATH=/usr/sbin:/usr/bin HOME=/root DEBIAN_FRONTEND=noninteractive \
        sh -c 'tree=$1; shift; mount -t proc proc "$tree/proc"; exec chroot "$tree" "$@"' inside "$tree" "$@"
}
inside apt-get -q -o Acquire::Check-Valid-Until=false update

for suite in stable testing; do
    case $suite in stable) name=trixie ;; testing) name=forky ;; esac
    inside sh -c "cd /opt && apt-get -q download systemd-tests/$name"
    dpkg-deb -x "$tree"/opt/systemd-tests_*.deb "$new/units/$suite"
    rm "$tree"/opt/systemd-tests_*.deb
done

inside apt-get -qy --no-install-recommends -o Dpkg::Options::=--force-confold install -t forky \
    systemd systemd-sysv systemd-userdbd libnss-systemd libpam-systemd udev dbus polkitd passwd login \
    libpam-runtime openssh-server sudo systemd-container
rm -rf "$tree/opt/peer"
mkdir -p "$tree/opt/peer/files"
inside sh -c 'cd /opt/peer && apt-get -q download systemd-homed/forky && dpkg-deb -x systemd-homed_*.deb files'
rm -rf "$tree"/etc/resolv.conf "$tree"/usr/sbin/policy-rc.d "$tree"/var/lib/apt/lists/* \
    "$tree"/var/cache/apt/archives/*.deb "$tree"/var/cache/apt/*.bin
inside systemd-hwdb update
inside ldconfig
touch "$tree/etc/.updated" "$tree/var/.updated"
