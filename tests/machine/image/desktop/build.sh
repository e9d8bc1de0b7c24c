#!/bin/sh
# Makes a tree with packages of a desktop: build.sh FOLDER-OF-RECIPE TREE NEW-TREE
set -eu
recipe=$1 base=$2 new=$3
packages=$(grep -v '^#' "$recipe/packages")
cp -a --reflink=auto "$base" "$new"
cp /etc/resolv.conf "$new/etc/resolv.conf"
# No service starts while packages are installed.
printf '#!/bin/sh\nexit 101\n' > "$new/usr/sbin/policy-rc.d"
chmod 755 "$new/usr/sbin/policy-rc.d"
in_tree() { env -i PATH=/usr/sbin:/usr/bin HOME=/root DEBIAN_FRONTEND=noninteractive chroot "$new" "$@"; }
in_tree apt-get -q -o Acquire::Check-Valid-Until=false update
in_tree apt-get -q -y --no-install-recommends install $packages
# Tests start them when they want them.
in_tree systemctl disable greetd.service
rm -rf "$new/usr/sbin/policy-rc.d" "$new/etc/resolv.conf" "$new"/var/lib/apt/lists/* "$new"/var/cache/apt/*.bin \
    "$new"/var/cache/apt/archives/*.deb
touch "$new/etc/.updated" "$new/var/.updated"
