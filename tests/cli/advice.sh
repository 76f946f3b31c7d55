# fanin check finds the sick, passes their healthy twins, names layer and cause, and the command that its advice ends with
# heals, run as it stands.
. "$FANIN_SOURCE_DIR/tests/cli/lib.sh"
unset COLUMNS
fanin() { "$FANIN" "$@"; }

field() { sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/" sick.json; }

# WORD LAYER CAUSE MODEL OPTIONS...: the verdict, the layer to blame (- for any), words of the advice; then the command.
sick() {
  word=$1 layer=$2 cause=$3
  shift 3
  "$FANIN" check "$@" --quiet --json >sick.json
  code=$?
  command=$(field repair)
  if [ $code = 1 ] && [ "$(field verdict)" = "$word" ] && { [ "$layer" = - ] || [ "$(field first_bad_layer)" = "$layer" ]; } &&
    field advice | grep -qF -e "$cause" && field advice | grep -qF -e "$command" && eval "$command" >healed.json &&
    grep -q '"verdict":"healthy"' healed.json; then
    echo "[       OK ] $word: $*"
  else
    echo "[  FAILED  ] $word $layer: $*: exit $code, $(field verdict), $(field first_bad_layer): $(field advice)"
    failures=$((failures + 1))
  fi
}

twin() { exits 0 "healthy: $*" "$FANIN" check "$@" --quiet; }

m=mlp:100-64
small='too small for their fan_in' scale='beside those of the others'
for seed in 0 1 2; do
  sick vanishing fc1.weight "$small" "${m}x10-10,act=sigmoid" --rule '*.weight=normal:std=0.01' --seed $seed
  sick vanishing - "$small" "${m}x30-10" --scheme xavier --seed $seed
  twin "${m}x30-10" --scheme he --seed $seed --batch 2
done
twin "${m}x10-10,act=sigmoid,norm=batch" --scheme xavier
sick exploding - 'each residual sum adds to it' resnet:110,norm=none,input=3x8x8 --scheme he --batch 2
twin resnet:110,input=3x8x8 --scheme he --batch 4
sick saturated fc1.weight 'weights or its inputs are too large' "${m}x10-10,act=tanh" --scheme lecun_normal:gain=3
twin "${m}x10-10,act=tanh" --scheme lecun
sick dead - 'its biases are too low' "${m}x3-10" --scheme he --rule '*.bias=constant:value=-3'
sick dead - 'its biases are too low' lenet5 --scheme he --rule '*.bias=constant:value=-3' --batch 4
twin "${m}x3-10" --scheme he --rule '*.bias=constant:value=0.1'
sick symmetric fc1.weight 'drawn at random' "${m}x5-10" --scheme zeros
sick symmetric fc1.weight 'drawn at random' "${m}x5-10" --scheme constant:value=0.1
sick symmetric conv1.weight 'drawn at random' resnet:20,input=3x8x8 --rule '*.weight=constant:value=0.1' --batch 4

# Fans swapped where C_out = 8 C_in, in plain convolutional networks with and without pooling.
for c in 1x8x8-8-64-512-10,pool=0 1x12x12-8-64-512-10 3x16x16-24-192-10; do
  sick vanishing - 'goes by fan_out' convnet:$c --scheme he_normal:mode=fan_out --batch 4
  twin convnet:$c --scheme he --batch 4
done

# Zeros at the end: the output layer (muP), with those of residual branches (Fixup).
for batch in 2 32; do twin "${m}x5-10" --scheme he --rule fc6.weight=zeros --batch $batch; done
twin resnet:20,norm=none,input=3x8x8 --scheme he --rule '*.conv2.weight=zeros' --rule fc.weight=zeros --batch 2
twin gpt2:layers=2,width=32,heads=2,vocab=33,tokens=16 --scheme gpt2 --rule '*.c_proj.weight=zeros' --batch 4
twin gpt2:layers=2,width=32,heads=2,vocab=33,tokens=16 --scheme gpt2 --batch 4

# One layer a thousand times too small or too large, in a file: first, middle and, if large, last; where the next layer is a
# norm; in the branch of a residual network. The advice draws all anew.
scaled() { # WORD MODEL SCHEME LAYER RULE BATCH
  "$FANIN" init "$2" --scheme "$3" --rule "$4=$5" -o scaled.safetensors --quiet
  sick "$1" "$4" "$scale" "$2" --weights scaled.safetensors --batch "$6"
}
for fc in fc1 fc3 fc6; do
  scaled vanishing "${m}x6-10" he $fc.weight he_normal:gain=0.0014 8
  scaled exploding "${m}x6-10" he $fc.weight he_normal:gain=1400 8
done
scaled exploding "${m}x6-10" he fc7.weight he_normal:gain=1400 8
scaled vanishing "${m}x6-10,act=tanh" lecun fc1.weight lecun_normal:gain=0.001 8
scaled exploding "${m}x6-10,norm=batch" he fc3.weight he_normal:gain=1400 8
scaled vanishing convnet:3x8x8-16x2-32x2-10 he conv1.weight he_normal:gain=0.0014 4
scaled vanishing resnet:20,norm=none,input=3x8x8 auto layer1.1.conv1.weight he_normal:gain=0.0014 4
scaled exploding resnet:20,norm=none,input=3x8x8 auto layer1.1.conv2.weight he_normal:gain=1400 4
scaled vanishing resnet:20,input=3x8x8 he layer2.1.conv1.weight he_normal:gain=0.0014 4
gpt=gpt2:layers=2,width=32,heads=2,vocab=33,tokens=16
scaled exploding $gpt gpt2 h.0.attn.c_proj.weight normal:std=5 4
scaled vanishing $gpt gpt2 h.1.mlp.c_fc.weight normal:std=0.00002 4
# Where the weights are drawn the other layers keep theirs.
sick exploding fc5.weight "$scale" "${m}x10-10" --scheme he --rule 'fc5.weight=he_normal:gain=1400'
check keeps_the_rest grep -q '"repair":"fanin check --scheme he .* --rule fc5.weight=he_normal"' sick.json

# Names with blanks and quotes; options in their short forms; nothing of what only this run wrote.
cp scaled.safetensors "it's here.safetensors"
sick vanishing h.1.mlp.c_fc.weight "$scale" $gpt --weig "it's here.safetensors" --batch 4 --html page.html
check no_page_again sh -c "! grep -q '\"repair\":\"[^\"]*html' sick.json"
cat >'my scheme.yaml' <<'END'
'*.weight': xavier_uniform
'*.bias': zeros
'fc3.weight': normal:std=1e-5
END
sick vanishing fc3.weight "$scale" "${m}x10-10,act=tanh" --scheme 'my scheme.yaml'
check quoted grep -q "'my scheme.yaml'" sick.json

# On a terminal the command can be copied: lines of 80 and 60 columns that end in backslashes.
for width in 80 60; do
  COLUMNS=$width "$FANIN" check "${m}x10-10" --scheme he --rule 'fc5.weight=he_normal:gain=1400' --rule '*.bias=normal:std=0.001' \
    --quiet --color never >sick.txt
  check "$width columns" sh -c "sed 's/[^ -~]\{1,3\}/x/g' sick.txt | awk 'length > $width {bad = 1} END {exit bad}'"
  sed -n '/^  fanin check/,$p' sick.txt >command.sh
  check "command of $width columns" eval "$(cat command.sh)"
done
check broken_in_lines grep -q ' \\$' command.sh

# What no weights can heal is said, as is what the inputs do: of a scale that only a norm takes away, or all zero.
"$FANIN" init tensor:x=8x100 --scheme normal:std=150 -o raw.safetensors --quiet
"$FANIN" init tensor:x=8x100 --scheme zeros -o none.safetensors --quiet
twin "${m}x5-10,norm=batch" --scheme he --input raw.safetensors
"$FANIN" check "${m}x5-10" --scheme he --input raw.safetensors --quiet --json >sick.json
check the_inputs_are_named grep -q '"advice":"the inputs have a root mean square of 1[^"]*scale the inputs' sick.json
"$FANIN" check "${m}x5-10,act=tanh" --scheme xavier --input none.safetensors --quiet --json >sick.json
check nothing_goes_in grep -q '"verdict":"collapsed"' sick.json
check no_weights_heal grep -q '"advice":"[^"]*inputs, depth or activations have to change","repair":null' sick.json
sick vanishing fc1.weight "a sigmoid's slope is at most 1/4" "${m}x10-10,act=sigmoid" --scheme xavier --rule '*.weight=lecun_normal:gain=2'
finish
