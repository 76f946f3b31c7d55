#!/bin/sh
# fanin gain and fanin theory: figures, fields and exit codes.
set -e
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
fail() { echo "FAILED: $*"; exit 1; }
has() { case "$1" in *"$2"*) ;; *) fail "no '$2' in: $1" ;; esac; }

out=$($FANIN gain gelu --json)
has "$out" '"gain":1.53353044119'
has "$out" '"source":"closed form"'
has "$($FANIN gain tanh --json)" '"gain":1.59253741972'
has "$($FANIN gain relu --json)" '"critical_sigma_w":1.414213562373'
has "$($FANIN gain 'x*sigmoid(1.702*x)' --json)" '"torch_gain":null'
has "$($FANIN gain selu)" 'pairs with lecun'

out=$($FANIN theory tanh --critical --sigma-b2 0.05 --json)
has "$out" '"sigma_w2":1.7609546'
has "$out" '"phase":"critical"'
has "$($FANIN theory tanh --sigma-w2 2.5 --sigma-b2 0.05 --json)" '"phase":"chaotic"'
has "$($FANIN theory relu --sigma-w2 2 --sigma-b2 0 --json)" '"xi_c":null'
has "$($FANIN theory tanh --depth 16 --json)" '"sigma_w2":1.11538062'
has "$($FANIN theory tanh --sigma-w2 1.5 --sigma-b2 0.05 --curve --depth 3 --json)" '"layer":3'
has "$($FANIN theory tanh --sigma-w2 1.5 --spectrum orthogonal --json)" '"mass_at_0"'
has "$($FANIN theory tanh --sigma-w2 1.5 --dynamics --json)" '"time":5.7509'
$FANIN theory tanh --sigma-w2 1.5 --sigma-b2 0.05 --phase "$tmp/p.svg" -q >/dev/null
grep -q '</svg>' "$tmp/p.svg" || fail "phase diagram"

code() {
    want=$1
    shift
    got=0
    "$@" >"$tmp/o" 2>"$tmp/e" || got=$?
    [ "$got" = "$want" ] || fail "exit $got, expected $want: $*"
    [ -s "$tmp/e" ] || fail "silent: $*"
}
code 4 $FANIN theory tanh --sigma-w2 -1
code 4 $FANIN theory 'exp(x^2)' --sigma-w2 1
code 4 $FANIN theory relu --critical --sigma-b2 0.3
code 2 $FANIN gain nosuch
code 2 $FANIN gain 'x*('
code 2 $FANIN theory tanh --norm wild
code 2 $FANIN theory tanh --kernel ntk
code 5 $FANIN theory tanh --phase /nonexistent/p.svg
echo fine
