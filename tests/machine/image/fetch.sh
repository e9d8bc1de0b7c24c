#!/bin/sh
# Downloads packages, and what they need that the tree has not: fetch.sh TREE NEW SUITE PACKAGE…
# NEW has the packages' files. Nothing is installed.
set -eu
tree=$1 new=$2 suite=$3
shift 3
scratch=$new.scratch
mkdir -p "$new" "$scratch/lists/partial" "$scratch/cache/archives/partial"
# The tree's own sources and keys, and none of its places: it stays as it is.
of_tree() {
    apt-get -q -y -o Dir="$tree" -o Dir::Bin::methods=/usr/lib/apt/methods \
        -o Dir::State::status="$tree/var/lib/dpkg/status" -o Dir::State::lists="$scratch/lists" \
        -o Dir::Cache="$scratch/cache" -o Debug::NoLocking=true -o APT::Sandbox::User=root \
        -o APT::Architecture="$(dpkg --print-architecture)" -o Acquire::Check-Valid-Until=false "$@"
}
of_tree update
of_tree --no-install-recommends --download-only -t "$suite" install "$@"
mv "$scratch"/cache/archives/*.deb "$new"
rm -rf "$scratch"
