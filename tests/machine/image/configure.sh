#!/bin/sh
# Runs on the host when the packages are in the tree: configure.sh TREE FOLDER-OF-RECIPE
set -eu
tree=$1
recipe=$2

# The kernel looks for its modules in the usual place.
version=$(ls "$tree/usr/lib/uml/modules")
mkdir -p "$tree/usr/lib/modules"
mv "$tree/usr/lib/uml/modules/$version" "$tree/usr/lib/modules/$version"
chroot "$tree" depmod "$version"
tr ' ' '\n' < "$recipe/modules" | grep -v '^#' > "$tree/etc/modules-load.d/machine.conf"

install -D -m 755 "$recipe/init.sh" "$tree/usr/lib/machine/init"
install -D -m 755 "$recipe/runner.sh" "$tree/usr/lib/machine/runner"
install -D -m 644 "$recipe/runner.service" "$tree/etc/systemd/system/machine-runner.service"
mkdir -p "$tree/mnt"
chroot "$tree" systemctl enable machine-runner.service serial-getty@ttyS0.service serial-getty@ttyS1.service
# Nothing to wait for, nothing to do: they only make the boot longer.
chroot "$tree" systemctl mask getty@tty1.service apt-daily.timer apt-daily-upgrade.timer \
    dpkg-db-backup.timer fstrim.timer e2scrub_all.timer e2scrub_reap.service systemd-networkd-wait-online.service \
    modprobe@configfs.service modprobe@drm.service modprobe@efi_pstore.service systemd-pstore.service

echo 'root:machine' | chroot "$tree" chpasswd
# The kernel mounts the root file system for writing: nobody has to wait for the device.
: > "$tree/etc/fstab"
echo machine > "$tree/etc/hostname"
echo '127.0.0.1 localhost machine' > "$tree/etc/hosts"
printf 'PasswordAuthentication yes\nKbdInteractiveAuthentication yes\nPermitRootLogin yes\nUseDNS no\n' \
    > "$tree/etc/ssh/sshd_config.d/machine.conf"
# Written anew by each machine's init, from the machine id it is started with.
echo 00000000000000000000000000000001 > "$tree/etc/machine-id"

# The original, not installed: its package, and its files beside it.
mkdir -p "$tree/opt/peer/files"
chroot "$tree" sh -c 'cd /opt/peer && apt-get -q download systemd-homed && dpkg-deb -x systemd-homed_*.deb files'

# Neighbours of ours in PAM, not installed: scenarios install those they look at.
mkdir -p "$tree/opt/neighbours"
chroot "$tree" sh -c 'cd /opt/neighbours && apt-get -q download libpam-pwquality cron cron-daemon-common rsync libpopt0'

rm -rf "$tree"/var/cache/apt/archives/*.deb "$tree"/var/lib/apt/lists/* "$tree"/var/cache/apt/*.bin

# What is done after an update of /usr is done.
chroot "$tree" systemd-hwdb update
chroot "$tree" ldconfig
touch "$tree/etc/.updated" "$tree/var/.updated"
