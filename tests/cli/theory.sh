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
# No signal survives: the Jacobian is that of a linear network.
has "$($FANIN theory tanh --sigma-w2 0.5 --depth 3 --spectrum orthogonal --json)" '"depth":3.0,"mean":0.12499999999'
has "$($FANIN theory tanh --sigma-w2 1.5 --dynamics --json)" '"time":5.7509'
$FANIN theory tanh --sigma-w2 1.5 --sigma-b2 0.05 --phase "$tmp/p.svg" -q >/dev/null
grep -q '</svg>' "$tmp/p.svg" || fail "phase diagram"


# Kernel regression: every training point is met, and two spirals are told apart.
out=$($FANIN theory erf --sigma-w2 6 --sigma-b2 0.1 --kernel ntk --depth 3 --data spirals --samples 150 \
    -o "$tmp/k.npy" --predict "$tmp/f.npy" --json)
has "$out" '"samples":150'
has "$out" '"train_accuracy":1.0'
has "$($FANIN show "$tmp/k.npy")" '150x150'
has "$($FANIN show "$tmp/f.npy")" '150x2'
has "$($FANIN theory relu --kernel nngp --data xor --samples 4 -o "$tmp/k.npy" --predict "$tmp/f.npy" \
    --time 0 --json)" '"time":0.0'

code() {
    want=$1
    shift
    got=0
    "$@" >"$tmp/o" 2>"$tmp/e" || got=$?
    [ "$got" = "$want" ] || fail "exit $got, expected $want: $*"
    [ -s "$tmp/e" ] || fail "silent: $*"
}
code 4 $FANIN theory tanh --sigma-w2 -1
for o in sigma-w2 sigma-b2 depth dropout residual time; do
    code 2 $FANIN theory tanh --$o nan
    has "$(cat "$tmp/e")" "--$o nan: expected a number"
done
code 4 $FANIN theory 'exp(x^2)' --sigma-w2 1
code 4 $FANIN theory relu --critical --sigma-b2 0.3
code 2 $FANIN gain nosuch
code 2 $FANIN gain 'x*('
code 2 $FANIN theory tanh --norm wild
code 2 $FANIN theory tanh --kernel ntk
code 2 $FANIN theory tanh --predict f.npy
code 2 $FANIN theory tanh --kernel ntk --data xor -o k.npy --samples 0
code 5 $FANIN theory tanh --phase /nonexistent/p.svg
echo fine
