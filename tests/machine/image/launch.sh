#!/bin/sh
# Starts the kernel, in namespaces of its own: launch.sh TREE FOLDER-OF-MACHINE IMAGE SHARED-FOLDER ARGUMENT…
# Standard input is the lifeline: the machine dies when it is closed.
set -e
tree=$1 machine=$2 image=$3 shared=$4
shift 4
# What runs in the background has no standard input of its own.
exec 3<&0

mount --make-rprivate /
mount -t proc proc "$tree/proc" 2>/dev/null || mount --rbind /proc "$tree/proc"
mount --rbind /dev "$tree/dev"
mount -t tmpfs -o size=100% tmpfs "$tree/tmp"
mount -t tmpfs tmpfs "$tree/mnt"
mkdir "$tree/mnt/machine" "$tree/mnt/shared"
touch "$tree/mnt/base"
mount --bind "$machine" "$tree/mnt/machine"
mount --bind "$image" "$tree/mnt/base"
[ -z "$shared" ] || mount --bind "$shared" "$tree/mnt/shared"

# The RAM is a file in TMPDIR; without HOME the kernel does not start.
env -i HOME=/tmp TMPDIR=/tmp PATH=/usr/sbin:/usr/bin chroot "$tree" linux.uml "$@" </dev/null 3<&- &
kernel=$!
{ read -r _ <&3 || :; kill -KILL $kernel; } &
wait $kernel
