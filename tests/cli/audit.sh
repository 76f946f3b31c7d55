# fanin audit: what was declared passes, what was not is named, in words and in JSON.
. "$FANIN_SOURCE_DIR/tests/cli/lib.sh"
model=mlp:784-300x2-10,act=tanh

for scheme in he xavier lecun orthogonal torch keras jax; do
  check "init_$scheme" "$FANIN" init $model --scheme $scheme -o $scheme.safetensors
  check "passes_$scheme" "$FANIN" audit $scheme.safetensors --model $model --scheme $scheme
done
for scheme in torch keras jax gpt2; do
  check "init_gpt_$scheme" "$FANIN" init gpt2:layers=2,width=64,heads=4,vocab=65 --scheme $scheme -o g.safetensors
  check "passes_gpt_$scheme" "$FANIN" audit g.safetensors --model gpt2:layers=2,width=64,heads=4,vocab=65 --scheme $scheme
done
check init_resnet "$FANIN" init resnet:20 --scheme torch --stream torch -o r.safetensors
check passes_resnet_on_torchs_stream "$FANIN" audit r.safetensors --model resnet:20 --scheme torch --stream torch
for dtype in bf16 f16 f64; do
  check "init_$dtype" "$FANIN" init $model --scheme he --dtype $dtype -o $dtype.safetensors
  check "passes_$dtype" "$FANIN" audit $dtype.safetensors --model $model --scheme he
done
check nothing_declared "$FANIN" audit he.safetensors
check json sh -c "'$FANIN' audit he.safetensors --model $model --scheme he --json | grep -q '^{\"ok\":true,\"tensors\":.*{\"name\":\"fc1.weight\",\"shape\":\[300,784\],\"dtype\":\"F32\",\"mean\":.*\"fits\":\[{\"rule\":\"he_normal\",\"p_value\":.*\"faults\":\[\]'"

# One declared, another there. The first line of the faults names it.
wrong() { # NAME FILE SCHEME TEXT
  exits 1 "$1" "$FANIN" audit "$2" --model $model --scheme "$3"
  if grep -q -e "$4" "$tmp/.out"; then
    echo "[       OK ] $1_says"
  else
    echo "[  FAILED  ] $1_says: no '$4' in:"
    cat "$tmp/.out"
    failures=$((failures + 1))
  fi
}
wrong default_left torch.safetensors he "default_left fc1.weight"
wrong not_orthogonal he.safetensors orthogonal "not_orthogonal fc1.weight"
wrong another_gain lecun.safetensors he "wrong_scale fc1.weight.*gain 1 (linear"
"$FANIN" init $model --scheme he_normal:mode=fan_out --quiet -o out.safetensors
wrong swapped_fans out.safetensors he "wrong_fan fc1.weight.*that of fan_out"
"$FANIN" init $model --scheme he_truncated_normal --quiet -o cut.safetensors
wrong cut cut.safetensors he "truncated fc1.weight"
"$FANIN" init $model --scheme he --rule '*1.weight=zeros' --quiet -o zero.safetensors
wrong all_zero zero.safetensors he "all_zero fc1.weight"
exits 1 all_zero_undeclared "$FANIN" audit zero.safetensors --model $model

# The same bytes twice, a row of zeros, a NaN: written into the file's last 10 x 300 matrix and its bias.
size=$(wc -c <he.safetensors)
cp he.safetensors row.safetensors
dd if=/dev/zero of=row.safetensors bs=4 seek=$(((size - 40) / 4 - 900)) count=300 conv=notrunc 2>/dev/null
wrong zero_row row.safetensors he "zeros fc3.weight: 300 of 3000"
cp he.safetensors nan.safetensors
printf '\000\000\300\177' | dd of=nan.safetensors bs=1 seek=$((size - 4)) conv=notrunc 2>/dev/null
wrong nan nan.safetensors he "nan .*1 of"
exits 1 nan_undeclared "$FANIN" audit nan.safetensors
exits 1 json_says sh -c "'$FANIN' audit nan.safetensors --json > nan.json"
check json_kind grep -q '"ok":false.*"faults":\[{"kind":"nan","text":"1 of' nan.json

exits 3 other_shapes "$FANIN" audit he.safetensors --model mlp:784-301x2-10 --scheme he
says other_shapes_says "300 in the weights, 301 in the model"
exits 2 no_weights "$FANIN" audit
exits 3 no_file "$FANIN" audit none.safetensors
exits 2 alpha "$FANIN" audit he.safetensors --alpha 2
exits 2 unknown_scheme "$FANIN" audit he.safetensors --model $model --scheme hee
finish
