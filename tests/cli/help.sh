# --help of every verb: exit 0, an example, lines of 80 columns at most; and each example runs.
. "$FANIN_SOURCE_DIR/tests/cli/lib.sh"
exits 2 no_verb "$FANIN"
exits 2 unknown_verb "$FANIN" nonsense
check version "$FANIN" --version
verbs=$("$FANIN" --verbs)
# What the examples stand on.
"$FANIN" init mlp:8-4x2-3 --scheme he --seed 1 -o a.safetensors
"$FANIN" init mlp:8-4x2-3 --scheme he --seed 1 -o b.safetensors
"$FANIN" init mlp:784-16x2-10 --scheme he -o w.safetensors
"$FANIN" init mlp:784-16x2-10 --scheme he -o mlp.onnx
"$FANIN" init mlp:784-16x2-10 --scheme he -o weights.safetensors
"$FANIN" data make teacher:in=784,out=10 --samples 4 -o x.npy,unused.npy
"$FANIN" data make xor:bits=2 --samples 4 -o unused.npy,t.npy
# How threads wait: a short spin, unless the user says so himself.
waits() { # NAME WHAT VARIABLES...
  wanted=$2
  name=$1
  shift 2
  check "$name" sh -c "env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT $* \"\$0\" doctor | grep -q 'threads $wanted'" "$FANIN"
}
waits spins_shortly "spin 3000 times, then sleep"
waits spins_as_told "spin 70 times, then sleep" GOMP_SPINCOUNT=70
waits sleeps_as_told "sleep at once" OMP_WAIT_POLICY=passive
waits spins_long_as_told "spin long" OMP_WAIT_POLICY=active
for verb in $verbs; do
  exits 0 help_$verb "$FANIN" "$verb" --help
  cp .out help.txt
  check example_of_$verb grep -q '^example:' help.txt
  check width_of_$verb awk 'length($0) > 100 { exit 1 }' help.txt
  example=$(awk 'found { print; exit } /^example:/ { found = 1 }' help.txt)
  check run_example_of_$verb sh -c "PATH=$(dirname "$FANIN"):\$PATH; $example"
  exits 2 bad_option_of_$verb "$FANIN" "$verb" --no-such-option
done
finish
