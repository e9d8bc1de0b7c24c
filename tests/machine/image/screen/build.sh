#!/bin/sh
# Makes what the machine with a screen boots: build.sh FOLDER-OF-RECIPE TREE NEW
# NEW/tree is TREE with Debian's kernel instead of User-Mode Linux; NEW/vmlinuz and NEW/initrd.img start it.
set -eu
recipe=$1 base=$2 new=$3
tree=$new/tree
kernel=$new/kernel
mkdir -p "$new" "$kernel"
cp -a --reflink=auto "$base" "$tree"
rm -rf "$tree"/usr/lib/modules/* "$tree"/usr/lib/uml "$tree"/usr/bin/linux.uml

# Unpacked, not installed: nobody needs the big initrd that an installation makes.
cp /etc/resolv.conf "$tree/etc/resolv.conf"
chroot "$tree" apt-get -q -o Acquire::Check-Valid-Until=false update
for package in $(grep -v '^#' "$recipe/packages"); do
    real=$(chroot "$tree" apt-cache depends "$package" | sed -n "s/.*Depends: \(linux-image-[0-9].*\)/\1/p" | head -n 1)
    chroot "$tree" sh -c "cd /opt && apt-get -q download ${real:-$package}"
done
# Which letters the keys of other keyboard layouts make.
DEBIAN_FRONTEND=noninteractive chroot "$tree" apt-get -qy --no-install-recommends install libxkbcommon0
rm -rf "$tree"/etc/resolv.conf "$tree"/var/lib/apt/lists/* "$tree"/var/cache/apt/*.bin "$tree"/var/cache/apt/archives/*.deb
for package in "$tree"/opt/*.deb; do
    dpkg-deb -x "$package" "$kernel"
    rm "$package"
done
version=$(ls "$kernel/usr/lib/modules")
mv "$kernel/usr/lib/modules/$version" "$tree/usr/lib/modules/$version"
mv "$kernel/boot/vmlinuz-$version" "$new/vmlinuz"
chroot "$tree" depmod "$version"

install -m 755 "$recipe/runner.sh" "$tree/usr/lib/machine/runner"
rm "$tree/etc/systemd/system/getty@tty1.service"
mkdir -p "$tree/etc/systemd/system/getty.target.wants"
ln -sf /usr/lib/systemd/system/getty@.service "$tree/etc/systemd/system/getty.target.wants/getty@tty1.service"
# The screen's driver belongs to it.
rm "$tree/etc/systemd/system/modprobe@drm.service"

# The first steps: the modules of the disk, then the disk.
initrd=$new/initrd
mkdir -p "$initrd/bin" "$initrd/dev" "$initrd/proc" "$initrd/sys" "$initrd/root" "$initrd/modules"
busybox=$initrd/bin/busybox
install -m 755 "$kernel/usr/bin/busybox" "$busybox"
install -m 755 "$recipe/initrd.sh" "$initrd/init"
number=100
for module in $(chroot "$tree" modprobe -S "$version" --all --show-depends virtio_blk ext4 crc32c_generic | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'); do
    number=$((number + 1))
    "$busybox" unxz -c < "$tree$module" > "$initrd/modules/$number.ko"
done
(cd "$initrd" && find . | "$busybox" cpio -o -H newc) | gzip -1 > "$new/initrd.img"
rm -rf "$initrd" "$kernel"
