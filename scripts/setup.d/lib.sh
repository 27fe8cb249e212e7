# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the steps share. Sourced by each of them.
set -euo pipefail

# The suite of the rootfs that tests and the demo use, whatever the host is.
# shellcheck disable=SC2034 # for those who source this
rootfs_suite=bookworm
fixtures=${COLDSTART_FIXTURES:-/var/cache/coldstart-fixtures}

say() { echo "setup: $(basename "$0"): $*" >&2; }
die() {
  say "$@"
  exit 1
}
need_root() { [[ $(id -u) -eq 0 ]] || die "$1 needs root: run 'sudo scripts/setup $(basename "$0")' once"; }

# The archive that this machine itself is configured for, so that proxies and local mirrors keep working.
# A machine that is not Debian has none: then the public one.
debian_mirror() {
  if [[ -n ${COLDSTART_DEBIAN_MIRROR:-} ]]; then
    echo "$COLDSTART_DEBIAN_MIRROR"
    return
  fi
  local codename id uri=
  # shellcheck source=/dev/null
  { read -r id; read -r codename; } < <(. /etc/os-release && echo "$ID" && echo "${VERSION_CODENAME:-}")
  if [[ $id == debian ]]; then
    # Another vendor's repository may use Debian's code name too, but not its path.
    # (mirror+file: is what Debian's cloud images have.)
    uri=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
      awk -v r="$codename" '$1 == r && $2 == "main" && ($3 ~ /debian\/?$/ || $3 ~ /^mirror/) { print $3; exit }')
  fi
  echo "${uri:-http://deb.debian.org/debian}"
}

debian_keyring=/usr/share/keyrings/debian-archive-keyring.gpg
need_keyring() {
  [[ -r $debian_keyring ]] || die "$debian_keyring is missing: install the package debian-archive-keyring"
}

# build_rootfs NAME RECIPE FUNCTION: makes $fixtures/NAME by FUNCTION DIR, once for every RECIPE (any text).
# Built aside and renamed, under a lock, so that it is whole whenever it is there.
build_rootfs() {
  local name=$1 recipe=$2 build=$3 target=$fixtures/$1
  is_built() { [[ -d $target && -r $target.recipe && $(<"$target.recipe") == "$recipe" ]]; }
  if is_built; then return; fi
  need_root "building $target"
  need_keyring
  mkdir -p "$fixtures"
  exec 9>"$fixtures/.$name.lock"
  flock 9
  if is_built; then return; fi # by someone else, meanwhile
  say "building $target (Debian $rootfs_suite)"
  rm -rf --one-file-system "$target.new" "$target.recipe"
  "$build" "$target.new"
  rm -rf --one-file-system "$target"
  mv "$target.new" "$target"
  echo "$recipe" >"$target.recipe"
  exec 9>&-
}
