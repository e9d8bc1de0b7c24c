#!/bin/sh
# launch.sh TREE MACHINE IMAGE ARGUMENT…: the kernel in namespaces of its own.
# Standard input is the lifeline: the machine dies when it closes.
tree=$1 machine=$2 image=$3
shift 3
set -e
exec 3<&0
mount --make-rprivate /
mount -t proc proc "$tree/proc" 2>/dev/null || mount --rbind /proc "$tree/proc"
mount --rbind /dev "$tree/dev"
mount -t tmpfs -o size=100% tmpfs "$tree/tmp"
mount -t tmpfs tmpfs "$tree/mnt"
mkdir "$tree/mnt/machine"
touch "$tree/mnt/base"
mount --bind "$machine" "$tree/mnt/machine"
mount --bind "$image" "$tree/mnt/base"
env -i HOME=/tmp TMPDIR=/tmp PATH=/usr/sbin:/usr/bin chroot "$tree" linux.uml "$@" </dev/null 3<&- &
kernel=$!
{ read -r _ <&3 || :; kill -KILL $kernel; } &
wait $kernel
