#!/bin/sh
# Makes the root tree: build.sh FOLDER-OF-RECIPE TREE
set -eu
recipe=$1
tree=$2
mirror=${HOMED_TEST_MIRROR:-http://deb.debian.org}
packages=$(grep -v '^#' "$recipe/packages" | grep . | paste -sd,)
exec mmdebstrap --variant=minbase --include="$packages" \
    --aptopt='Acquire::Check-Valid-Until "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --setup-hook="mkdir -p \"\$1/etc/apt/preferences.d\" && cp '$recipe/preferences' \"\$1/etc/apt/preferences.d/machine\"" \
    --skip=cleanup/apt/lists \
    --customize-hook="sh '$recipe/configure.sh' \"\$1\" '$recipe'" \
    trixie "$tree" \
    "deb $mirror/debian trixie main" \
    "deb $mirror/debian trixie-updates main" \
    "deb $mirror/debian-security trixie-security main" \
    "deb $mirror/debian forky main"
