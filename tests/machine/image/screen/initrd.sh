#!/bin/busybox sh
# The first process of the machine with a screen: its disk, and what is on it.
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
for module in /modules/*; do
    /bin/busybox insmod "$module"
done
until [ -b /dev/vda ]; do
    /bin/busybox sleep 0.1
done
# Where a hibernation has written memory to, it goes on from there, and this never comes back.
for word in $(/bin/busybox cat /proc/cmdline); do
    case $word in
    resume=*)
        /bin/busybox mount -t sysfs sys /sys
        echo "${word#resume=}" > /sys/power/resume
        /bin/busybox umount /sys
        ;;
    esac
done
/bin/busybox mount -t ext4 /dev/vda /root
/bin/busybox umount /proc
exec /bin/busybox switch_root /root /usr/lib/machine/init
