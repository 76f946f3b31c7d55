#!/bin/sh
# Installs what is missing to build, run and test fanin on Debian 12: one list, used by `make`, by
# `make demo` and by .ci/run. Says what it does; asks for root only when something is missing.
#   scripts/install-deps.sh          what building, testing and the demo need
#   scripts/install-deps.sh --check  exit 1 if something is missing, install nothing
#   scripts/install-deps.sh --dev    also formatter, clang and sanitizers, as CI uses them
set -eu
build="gcc libc6-dev cmake ninja-build pkg-config protobuf-c-compiler libprotobuf-c-dev libonnx-dev
  libjansson-dev libyaml-dev libminizip-dev zlib1g-dev liblzma-dev libpng-dev libdnnl-dev libopenblas0 libsqlite3-dev
  libcmocka-dev help2man"
dev="clang-14 clang-format-14 libclang-rt-14-dev libomp-14-dev"
want=$build
check=0
for arg in "$@"; do
  case $arg in
    --check) check=1 ;;
    --dev) want="$want $dev" ;;
    *) echo "install-deps.sh: unknown option $arg" >&2; exit 2 ;;
  esac
done
missing=""
for package in $want; do
  state=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
  [ "$state" = "install ok installed" ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$check" = 1 ]; then
  echo "missing:$missing" >&2
  exit 1
fi
if ! command -v apt-get >/dev/null; then
  echo "install-deps.sh: no apt-get here; install by hand what matches:$missing" >&2
  exit 1
fi
root=""
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "install-deps.sh: need root to install:$missing" >&2; exit 1; }
  root=sudo
fi
echo "installing:$missing" >&2
$root apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $root apt-get install -y -qq --no-install-recommends $missing >&2
