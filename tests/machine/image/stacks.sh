#!/bin/sh
# The PAM stacks that packages ship, without the packages: stacks.sh TREE NEW SUITE PACKAGE…
# NEW has the files of their /etc/pam.d and /usr/lib/pam.d. Nothing is installed.
set -eu
tree=$1 new=$2 suite=$3
shift 3
scratch=$new.scratch
mkdir -p "$new" "$scratch/lists/partial" "$scratch/cache/archives/partial" "$scratch/files"
# The tree's own sources and keys, and none of its places: it stays as it is.
of_tree() {
    apt-get -q -y -o Dir="$tree" -o Dir::Bin::methods=/usr/lib/apt/methods \
        -o Dir::State::status="$tree/var/lib/dpkg/status" -o Dir::State::lists="$scratch/lists" \
        -o Dir::Cache="$scratch/cache" -o Debug::NoLocking=true -o APT::Sandbox::User=root \
        -o APT::Architecture="$(dpkg --print-architecture)" -o Acquire::Check-Valid-Until=false "$@"
}
of_tree update
(cd "$scratch/files" && of_tree -t "$suite" download "$@")
for package in "$scratch"/files/*.deb; do
    mkdir "$package.files"
    dpkg-deb --extract "$package" "$package.files"
    for folder in etc/pam.d usr/lib/pam.d; do
        [ ! -d "$package.files/$folder" ] || cp -L "$package.files/$folder"/* "$new"
    done
done
rm -rf "$scratch"
