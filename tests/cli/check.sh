# fanin check: sick networks and their healthy twins by exit code and verdict, the table at 80 columns, thresholds,
# probes beyond one pass in JSON, event files. What the advice says, and that it heals: advice.sh.
. "$FANIN_SOURCE_DIR/tests/cli/lib.sh"
unset COLUMNS

verdict() { # WORD MODEL OPTIONS...: the word, and exit 0 where it is healthy, else 1
  word=$1
  shift
  code=1
  [ "$word" = healthy ] && code=0
  exits $code "$word: $*" "$FANIN" check "$@" --quiet --json
  cp "$tmp/.out" verdict.json
  check "says $word: $*" grep -q "\"verdict\":\"$word\"" verdict.json
}

m=mlp:784-200
verdict vanishing "${m}x10-10,act=sigmoid" --rule '*.weight=normal:std=0.01'
verdict healthy "${m}x10-10,act=sigmoid,norm=batch" --scheme xavier
verdict vanishing "${m}x30-10" --scheme xavier
verdict healthy "${m}x30-10" --scheme he
verdict saturated "${m}x10-10,act=tanh" --scheme lecun_normal:gain=3
verdict healthy "${m}x10-10,act=tanh" --scheme lecun
verdict vanishing "${m}x10-10" --scheme he --rule 'fc5.weight=he_normal:gain=0.0014'
verdict exploding "${m}x10-10" --scheme he --rule 'fc5.weight=he_normal:gain=1400'
verdict healthy "${m}x10-10" --scheme he
verdict dead "${m}x3-10" --scheme he --rule '*.bias=constant:value=-3'
verdict healthy "${m}x3-10" --scheme he --rule '*.bias=constant:value=0.1'
verdict symmetric "${m}x5-10" --scheme zeros
verdict symmetric "${m}x5-10" --scheme constant:value=0.1
verdict healthy "${m}x5-10" --scheme he --rule 'fc6.weight=zeros'
verdict healthy "${m}x10-10,act=tanh" # auto
if [ "${FANIN_SANITIZED:-0}" = 0 ]; then
  verdict exploding resnet:110,norm=none --scheme he --batch 2
  verdict healthy resnet:110,norm=batch --scheme he --batch 4
fi

exits 0 fail_on_never "$FANIN" check "${m}x5-10" --scheme zeros --fail-on never --quiet
exits 2 fail_on_what "$FANIN" check "${m}x5-10" --fail-on always

# Every threshold can be set, and decides.
verdict healthy "${m}x30-10" --scheme xavier --threshold slope=1 --threshold range=9
verdict vanishing "${m}x10-10,act=tanh" --scheme lecun --threshold slope=0.01 --threshold range=0.1
verdict vanishing "${m}x10-10,act=tanh" --scheme lecun --threshold slope=0 --threshold range=0.1
verdict healthy "${m}x10-10" --scheme he --rule 'fc10.weight=he_normal:gain=1400' --threshold layer=9 --threshold range=9
verdict saturated "${m}x3-10,act=tanh" --scheme lecun --threshold saturated=0.02
verdict dead "${m}x10-10" --scheme he --threshold dead=0.001
off="--rule *.bias=constant:value=-3 --threshold dead=1 --threshold range=99 --threshold layer=99 --threshold slope=9"
set -f # the star is a pattern's
verdict collapsed "${m}x3-10" --scheme he $off
verdict healthy "${m}x3-10" --scheme he $off --threshold correlation=2
set +f
exits 2 no_such_threshold "$FANIN" check mlp:4-3-2 --threshold deep=1
says no_such_threshold_says "expected slope, range"
exits 2 threshold_without_number "$FANIN" check mlp:4-3-2 --threshold slope=
exits 2 threshold_no_number "$FANIN" check mlp:4-3-2 --threshold slope=nan
says threshold_no_number_says "expected a number"
exits 2 rate_no_number "$FANIN" check mlp:4-3-2 --lr nan
exits 2 threshold_without_equals "$FANIN" check mlp:4-3-2 --threshold slope

# Figures: the update ratio is proportional to the rate; several seeds have a spread, one has none.
field() { sed "s/.*\"$1\":\([^,}]*\).*/\1/"; }
"$FANIN" check mlp:20-30x3-5 --scheme he --lr 0.1 --quiet --json >one.json
"$FANIN" check mlp:20-30x3-5 --scheme he --lr 0.2 --quiet --json >two.json
check update_ratio sh -c "awk -v a=$(field update_ratio <one.json) -v b=$(field update_ratio <two.json) \
  'BEGIN {exit !(a > 0 && b / a > 1.9999 && b / a < 2.0001)}'"
check one_seed_no_spread grep -q '"second_moment_spread":null' one.json
"$FANIN" check mlp:20-30x3-5 --scheme he --seeds 4 --quiet --json >seeds.json
check spread sh -c "awk -v s=$(field second_moment_spread <seeds.json) 'BEGIN {exit !(s > 0.001 && s < 0.5)}'"
check seeds grep -q '"seeds":4' seeds.json
check no_rate_no_ratio grep -q '"update_ratio":null' seeds.json

# Beyond one pass, only where asked for.
check plain_has_none sh -c "! grep -q 'hessian\"\|ntk\"' one.json"
"$FANIN" check mlp:20-20x3-20,act=tanh --scheme lecun --batch 6 --spectrum --hessian --ntk --quiet --json >all.json
for name in '"hessian":{"max":' '"online":' '"online_presents":"sample"' '"trace":' '"lr_max":' '"ntk":{"samples":6' '"alignment":' '"sigma_w2":' \
  '"samples":6,"exact":true,"singular_values":\['; do
  check "json: $name" grep -q "$name" all.json
done
check singular_values sh -c "sed 's/.*\"singular_values\":\[\([^]]*\)\].*/\1/' all.json | tr ',' '\n' | grep -c . | grep -qx 120"
check hessian_in_the_table sh -c "'$FANIN' check mlp:6-5-3,act=tanh --hessian --ntk --quiet | grep -q 'stable below rate'"

# The table at 80 columns, digits as 0.
digits() { sed 's/[0-9]/0/g'; }
"$FANIN" check mlp:784-200x4-10,act=tanh --scheme xavier --quiet --color never | digits >table.txt
cat >want.txt <<'END'
layer  signal  pred.          sat    corr  gradient  pred.
fc0      0.00   0.00  ████▍    0%   0.000      0.00   0.00  ██▍
fc0       0.0  0.000  ██▉      0%   0.000     0.000  0.000  ███
fc0     0.000  0.000  ██▏      0%   0.000     0.000  0.000  ███▍
fc0     0.000  0.000  █▋       0%  -0.000      0.00   0.00  ███▋
fc0     0.000  0.000  █▉           -0.000     0.000  0.000  ███▍

loss 0.000 (0.000 expected)   decades per layer: forward -0.000, backward +0.000
Jacobian, input to output: singular values 0.000 mean, 0.000 to 0.000
healthy: signal and gradient flow through every layer
END
check golden_table cmp table.txt want.txt
"$FANIN" check "${m}x10-10" --scheme he --rule 'fc5.weight=he_normal:gain=1400' --quiet --color never | digits >sick.txt
cat >want.txt <<'END'
layer    signal    pred.          dead   corr  gradient     pred.
fc0        0.00     0.00            0%  0.000  0.00e+00  0.00e+00  ██████
fc0        0.00     0.00            0%  0.000  0.00e+00  0.00e+00  ██████
fc0        0.00     0.00            0%  0.000  0.00e+00  0.00e+00  ██████
fc0         0.0     0.00            0%  0.000  0.00e+00  0.00e+00  ██████
fc0    0.00e+00  0.0e+00  █████▉    0%  0.000      0.00      0.00  ▏
fc0    0.00e+00  0.0e+00  ██████   00%  0.000      0.00      0.00
fc0    0.00e+00  0.0e+00  ██████   00%  0.000      0.00      0.00
fc0    0.00e+00  0.0e+00  ██████   00%  0.000       0.0      0.00
fc0    0.00e+00  0.0e+00  ██████   00%  0.000      0.00      0.00
fc00   0.00e+00  0.0e+00  █████▉   00%  0.000      0.00      0.00
fc00   0.00e+00  0.0e+00  ██████        0.000      0.00      0.00

loss 0000 (0000 expected)   decades per layer: forward +0.000, backward -0.000
Jacobian, input to output: singular values 0.00e+00 mean, 000 to 0.00e+00
exploding: the weights of layer fc0.weight are 000 times too large beside those
of the others; healthy with:
  fanin check --scheme he --rule fc0.weight=he_normal:gain=0000 --quiet \
    --color never mlp:000-000x00-00 --rule fc0.weight=he_normal
END
check golden_sick_table cmp sick.txt want.txt
check colour sh -c "'$FANIN' check ${m}x5-10 --scheme zeros --quiet --color always | grep -q '\[31m'"
for model in mlp:784-200x10-10,act=sigmoid resnet:20,norm=batch gpt2:layers=2,width=64,heads=4,vocab=65; do
  check "80 columns: $model" sh -c "'$FANIN' check $model --batch 4 --fail-on never --quiet --color never |
    sed 's/[^ -~]\{1,3\}/x/g' | awk 'length > 80 {bad = 1} END {exit bad}'"
done

check events sh -c "'$FANIN' check mlp:6-5-3 --quiet --tensorboard tb && ls tb | grep -qx events.out.tfevents.0000000000.fanin"
exits 5 events_cannot_be_written "$FANIN" check mlp:6-5-3 --quiet --tensorboard one.json
exits 5 page_cannot_be_written "$FANIN" check mlp:6-5-3 --quiet --html no/such/page.html
exits 2 not_a_number "$FANIN" check mlp:6-5-3 --lr fast
for wrong in '--lr inf' '--lr 0' '--lr -1' '--batch 0' '--seeds 0' '--threshold slope=-1'; do
  exits 2 "wrong: $wrong" "$FANIN" check mlp:6-5-3 $wrong
done

# Inputs of the user's: another size or type is a bad file, an input given twice or unknown is usage.
printf '\223NUMPY\001\000\166\000%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 6), }" >x.npy
head -c 48 /dev/zero >>x.npy
sed 's/<f4/<i4/' x.npy >ids.npy
exits 1 own_input "$FANIN" check mlp:6-5-3 --input x.npy --fail-on unhealthy --quiet
exits 0 own_input_by_name "$FANIN" check mlp:6-5-3 --input input=x.npy --fail-on never --quiet
exits 3 input_of_another_size "$FANIN" check mlp:7-5-3 --input x.npy
says input_of_another_size_says "12 numbers"
exits 3 input_of_another_type "$FANIN" check mlp:6-5-3 --input ids.npy
says input_of_another_type_says "the graph takes F32"
exits 3 input_that_is_not_there "$FANIN" check mlp:6-5-3 --input no.npy
exits 2 input_twice "$FANIN" check mlp:6-5-3 --input x.npy --input input=x.npy
says input_twice_says "was given before"
exits 2 input_unknown "$FANIN" check mlp:6-5-3 --input y=x.npy

# Stopped in the products with the Hessian: 130, and nothing half-written.
exits 130 interrupted timeout --preserve-status -s INT 1 "$FANIN" check resnet:20 --batch 4 --hessian --html late.html \
  --tensorboard late --quiet
check nothing_half_written sh -c '! ls | grep -q late'

# A narrow terminal: no bars, whole names; why there is no Jacobian.
COLUMNS=60 "$FANIN" check resnet:110,norm=none --batch 1 --fail-on never --quiet --color never >narrow.txt
check narrow sh -c "sed 's/[^ -~]\{1,3\}/x/g' narrow.txt | awk 'length > 60 {bad = 1} END {exit bad}'"
check narrow_names grep -q '^layer3.17.conv2 ' narrow.txt
"$FANIN" check gpt2:layers=1,width=16,heads=2,vocab=9 --batch 2 --spectrum --fail-on never --quiet >gpt.txt
check in_embedded_tokens grep -q 'Jacobian, embedding to output: singular values [0-9]' gpt.txt
"$FANIN" check mlp:6-5-40 --fail-on never --quiet --json >wide.json
check says_why_in_json grep -q '"absent":"more outputs than samples; --spectrum looks"' wide.json
finish
