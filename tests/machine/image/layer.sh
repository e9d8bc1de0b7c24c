#!/bin/sh
# Makes a tree with one more package: layer.sh TREE DEB NEW-TREE
set -eu
tree=$1 package=$2 new=$3
cp -a --reflink=auto "$tree" "$new"
cp "$package" "$new/opt/package.deb"
# No service starts while the package is installed.
printf '#!/bin/sh\nexit 101\n' > "$new/usr/sbin/policy-rc.d"
chmod 755 "$new/usr/sbin/policy-rc.d"
env -i PATH=/usr/sbin:/usr/bin HOME=/root DEBIAN_FRONTEND=noninteractive \
    chroot "$new" dpkg --install /opt/package.deb
rm "$new/usr/sbin/policy-rc.d" "$new/opt/package.deb"
touch "$new/etc/.updated" "$new/var/.updated"
