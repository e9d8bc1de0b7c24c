#!/bin/bash
# The first process. The kernel hands it MACHINE_ID and MACHINE_INIT (small, full) as environment.
echo "$MACHINE_ID" > /etc/machine-id
echo "machine-${MACHINE_ID:0:8}" > /etc/hostname
if [ "$MACHINE_INIT" = full ]; then
    exec /sbin/init
fi

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# As systemd does: what is mounted later in one namespace is seen in the others.
mount --make-rshared /
ln -sf /proc/self/fd /dev/fd
mkdir -p /run/dbus /run/lock /run/user /run/systemd/userdb
echo "machine-${MACHINE_ID:0:8}" > /proc/sys/kernel/hostname
ip link set lo up
modprobe -a $(cat /etc/modules-load.d/machine.conf)
dbus-daemon --system --fork
/usr/lib/machine/runner &

# Bash reaps every child that an orphaned process leaves it.
trap 'kill -TERM -1; sync; umount -a -r; systemctl poweroff -ff' TERM
while :; do wait; read -r -t 3600 _ <> <(:); done
