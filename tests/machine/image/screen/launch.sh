#!/bin/sh
# Starts qemu: launch.sh FOLDER-OF-MACHINE FOLDER-OF-KERNEL IMAGE MEBIBYTES LINE LINE LINE ARGUMENT…
# Standard input is the lifeline: the machine dies when it is closed.
set -e
machine=$1 boot=$2 image=$3 memory=$4 first=$5 second=$6 third=$7
shift 7
# What runs in the background has no standard input of its own.
exec 3<&0

[ -e "$machine/disk.img" ] || cp --sparse=always --reflink=auto "$image" "$machine/disk.img"
# All of its RAM is a file without a name, which the host can search.
qemu-system-x86_64 -M q35,smm=off,memory-backend=ram -global ICH9-LPC.disable_s3=0 \
    -accel tcg,thread=multi -cpu max -smp 2 -m "$memory" -object "memory-backend-memfd,id=ram,size=${memory}M,share=on" \
    -nodefaults -vga std -vnc "unix:$machine/vnc" \
    -serial "$first" -serial "$second" -serial "$third" -serial stdio \
    -qmp "unix:$machine/qmp,server=on,wait=off" \
    -drive "if=none,id=disk,file=$machine/disk.img,format=raw,cache=unsafe,discard=unmap" -device virtio-blk-pci,drive=disk \
    -kernel "$boot/vmlinuz" -initrd "$boot/initrd.img" -append "$*" </dev/null 3<&- &
kernel=$!
{ read -r _ <&3 || :; kill -KILL $kernel; } &
wait $kernel
