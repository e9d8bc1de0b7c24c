#!/bin/sh
# Makes the tree with the kernel of Debian 12: build.sh TREE NEW
# NEW/tree is TREE with User-Mode Linux of Debian 12 (Linux 6.1) and its modules instead of its own.
set -eu
base=$1 new=$2
tree=$new/tree
kernel=$new/kernel
scratch=$new/scratch
mirror=${HOMED_TEST_MIRROR:-http://deb.debian.org}
mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial" "$scratch/none" "$kernel"
cp -a --reflink=auto "$base" "$tree"

# The tree's own keys, and none of its places or preferences: only the kernel is from there, and nothing else changes.
echo "deb $mirror/debian bookworm main" > "$scratch/sources"
of_old() {
    apt-get -q -y -o Dir="$tree" -o Dir::Bin::methods=/usr/lib/apt/methods \
        -o Dir::Etc::sourcelist="$scratch/sources" -o Dir::Etc::sourceparts="$scratch/none" \
        -o Dir::Etc::preferencesparts="$scratch/none" \
        -o Dir::State::lists="$scratch/lists" -o Dir::Cache="$scratch/cache" -o Debug::NoLocking=true \
        -o APT::Sandbox::User=root -o APT::Architecture="$(dpkg --print-architecture)" \
        -o Acquire::Check-Valid-Until=false "$@"
}
of_old update
(cd "$scratch" && of_old download user-mode-linux/bookworm)
dpkg-deb -x "$scratch"/user-mode-linux_*.deb "$kernel"

rm -rf "$tree"/usr/lib/modules/* "$tree/usr/bin/linux.uml"
version=$(ls "$kernel/usr/lib/uml/modules")
mv "$kernel/usr/bin/linux.uml" "$tree/usr/bin/linux.uml"
mv "$kernel/usr/lib/uml/modules/$version" "$tree/usr/lib/modules/$version"
chroot "$tree" depmod "$version"
# There the option of hostfs has no name.
sed -i 's/-o hostfs=/-o /' "$tree/usr/lib/machine/runner"
rm -rf "$kernel" "$scratch"
