# lib.sh - for the command-line cases: a folder of its own, results in the words of the unit tests.
#   check NAME COMMAND...      passes when the command succeeds
#   exits CODE NAME COMMAND... passes when it exits so; output is kept in $tmp/.out and $tmp/.err
#   skip NAME REASON           counted as skipped
#   finish                     last line of a case
set -u
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
failures=0
shared=${FANIN_SHARED:-$FANIN_SOURCE_DIR/../shared}

check() {
  name=$1
  shift
  if "$@" >"$tmp/.out" 2>"$tmp/.err"; then
    echo "[       OK ] $name"
  else
    echo "[  FAILED  ] $name (exit $?): $*"
    head -n 20 "$tmp/.out" "$tmp/.err"
    failures=$((failures + 1))
  fi
}

exits() {
  want=$1
  name=$2
  shift 2
  "$@" >"$tmp/.out" 2>"$tmp/.err"
  got=$?
  if [ "$got" = "$want" ]; then
    echo "[       OK ] $name"
  else
    echo "[  FAILED  ] $name: exit $got, expected $want: $*"
    head -n 20 "$tmp/.out" "$tmp/.err"
    failures=$((failures + 1))
  fi
}

# The last command's standard error is one sentence that holds the text.
says() {
  if [ "$(grep -c . "$tmp/.err")" -le 2 ] && grep -q -e "$2" "$tmp/.err"; then
    echo "[       OK ] $1"
  else
    echo "[  FAILED  ] $1: no '$2' in:"
    cat "$tmp/.err"
    failures=$((failures + 1))
  fi
}

skip() { echo "[  SKIPPED ] because $2: $1"; }

finish() { exit $((failures != 0)); }
