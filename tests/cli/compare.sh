# fanin compare, check, train and list: fields, exit codes, pages, tables of 80 columns.
. "$FANIN_SOURCE_DIR/tests/cli/lib.sh"
net=mlp:2-8x1-2,act=tanh
fast="--data spirals --steps 20 --batch 8 --eval-samples 50"

# A value of the JSON in .out: jq is not there everywhere, python3 is what the tests have.
field() { python3 -c "import json,sys; d=json.load(open('$tmp/.out')); print($1)"; }
gives() { # NAME EXPRESSION TEXT
  got=$(field "$2" 2>&1)
  if [ "$got" = "$3" ]; then
    echo "[       OK ] $1"
  else
    echo "[  FAILED  ] $1: '$got', expected '$3'"
    failures=$((failures + 1))
  fi
}
# No line of standard output is wider than 80 columns.
narrow() { # NAME COMMAND...
  name=$1
  shift
  check "$name" "$@"
  wide=$(python3 -c "print(max([len(l.rstrip('\n')) for l in open('$tmp/.out', encoding='utf-8')] or [0]))")
  if [ "$wide" -le 80 ]; then
    echo "[       OK ] ${name}_fits"
  else
    echo "[  FAILED  ] ${name}_fits: $wide columns"
    failures=$((failures + 1))
  fi
}
export COLUMNS=80

check compare "$FANIN" compare $net $fast --schemes he,zeros --seeds 2 --html page.html --json
gives fields "' '.join(d)" "model data steps target_loss interrupted ranking runs validation"
gives rank_fields "' '.join(d['ranking'][0])" "scheme runs trained loss error low high steps_to_target verdict forward_log10_per_layer backward_log10_per_layer seconds activation depth optimizer lr p_value"
gives ranks "len(d['ranking'])" 2
gives runs "d['ranking'][0]['runs']" 2
gives zeros_are_symmetric "[r['verdict'] for r in d['ranking'] if r['scheme']=='zeros'][0]" symmetric
check page sh -c 'grep -q "<title>" page.html && ! grep -qE "(src|href)=.?https?:" page.html'
# What a page says of the weights is what was drawn.
check page_rule "$FANIN" compare $net $fast --schemes he,xavier --rule 'fc1.weight=normal:std=0.123' --html rule.html
check page_has_rule [ "$(grep -o 'normal(0, 0.123)\|normal:std=0.123\|0\.123' rule.html | wc -l)" -ge 2 ]
narrow compare_table "$FANIN" compare $net $fast --schemes he,zeros --seeds 2

# Commas separate schemes and the options of a rule.
split() { # NAME TEXT EXPECTED
  check "$1" "$FANIN" compare $net $fast --steps 1 --schemes "$2" --json
  gives "$1_schemes" "' '.join(sorted(r['scheme'] for r in d['ranking']))" "$3"
}
split split_plain he,xavier "he xavier"
split split_rule he,normal:std=0.01,xavier "he normal:std=0.01 xavier"
split split_rules normal:mean=0,std=0.01,he "he normal:mean=0,std=0.01"
split split_last he,uniform:low=-0.1,high=0.1 "he uniform:low=-0.1,high=0.1"
split split_two normal:std=0.1,normal:std=0.2 "normal:std=0.1 normal:std=0.2"

# A grid from one file, in two processes at once: each cell once, and the same answer as from one.
cat >grid.yaml <<'EOF'
model: mlp:2-8x1-2
data: spirals
schemes: [he, "normal:std=0.5", xavier]
activations: [relu, tanh]
depths: [1, 2]
optimizers: [sgd, "adam:beta1=0.8"]
lr: [0.01, 0.1]
seeds: 3
steps: 60
batch: 8
eval-samples: 50
eval-every: 30
json: true
EOF
narrow grid_table "$FANIN" compare mlp:2-8x1-2 $fast --schemes he,normal:std=0.5,xavier --activations relu,tanh --depths 1,2 --optimizers sgd,adam:beta1=0.8 --lr 0.01,0.1 --seeds 3
check grid "$FANIN" compare grid.yaml
gives grid_cells "d['runs'], len(d['ranking'])" "144 24"
cp "$tmp/.out" one.json
check grid_shared sh -c '"$FANIN" compare grid.yaml --log grid.db >a.json & "$FANIN" compare grid.yaml --log grid.db >b.json; r=$?; wait $! && exit $r'
check grid_the_same python3 - <<'EOF'
import json
def read(f):
    d = json.load(open(f))
    for r in d["ranking"]: del r["seconds"]
    return d
assert read("one.json") == read("a.json") == read("b.json")
EOF
check grid_stored "$FANIN" runs sql grid.db "select count(*) n, min(status) s from run where status='done'" --json
gives grid_once "d['rows'][0]['n']" 144
# One process killed in the middle, another at the same grid: it takes the cells over, each is done once and the
# answer is that of one process.
sed 's/steps: 60/steps: 3000/; s/eval-every: 30/eval-every: 1500/' grid.yaml >long.yaml
check long "$FANIN" compare long.yaml
cp "$tmp/.out" one.json
"$FANIN" compare long.yaml --log long.db --threads 1 --quiet >killed.json 2>killed.err &
victim=$!
done_of() { "$FANIN" runs sql long.db "select count(*) n from run where status='$1'" --json 2>none |
  python3 -c "import json,sys; print(json.load(sys.stdin)['rows'][0]['n'])" 2>none || echo 0; }
while kill -0 $victim 2>none && [ "$(done_of done)" -lt 5 ]; do sleep 0.05; done
"$FANIN" compare long.yaml --log long.db --threads 1 >b.json 2>none &
other=$!
sleep 0.2
kill -9 $victim
wait $victim 2>none
check killed_midway [ "$(done_of done)" -lt 144 ]
check killed_answers_nothing [ ! -s killed.json ]
check killed_is_taken_over wait $other
check killed_the_same python3 - <<'EOF'
import json
def read(f):
    d = json.load(open(f))
    for r in d["ranking"]: del r["seconds"]
    return d
assert read("one.json") == read("b.json")
EOF
check killed_store "$FANIN" runs sql long.db "select (select count(*) from run where status='done') n, (select count(*) from metric where name='test_loss') m" --json
gives killed_each_once "d['rows'][0]['n'], d['rows'][0]['m']" "144 432"

# Ctrl-C: 130, no half ranking as JSON on the way to a file that others read, and the rest another time.
"$FANIN" compare long.yaml --log stop.db --threads 1 >stop.json 2>stop.err &
victim=$!
sleep 0.7
kill -INT $victim
wait $victim
check stopped [ $? = 130 ]
check stopped_says grep -q "the same command goes on" stop.err
check stopped_running "$FANIN" runs sql stop.db "select count(*) n from run where status='running'" --json
gives stopped_none_running "d['rows'][0]['n']" 0
check stopped_goes_on "$FANIN" compare long.yaml --log stop.db
cp "$tmp/.out" b.json
check stopped_the_same python3 - <<'EOF'
import json
def read(f):
    d = json.load(open(f))
    for r in d["ranking"]: del r["seconds"]
    return d
assert read("one.json") == read("b.json")
EOF

exits 2 bad_key sh -c 'sed s/seeds:/seed_s:/ grid.yaml >bad.yaml; "$FANIN" compare bad.yaml'
says bad_key_says "bad.yaml line 8: 'seed_s'"
exits 2 twice "$FANIN" compare $net $fast --schemes he,xavier,he
says twice_says "'he' stands twice"
exits 2 none "$FANIN" compare $net $fast --schemes ""
exits 2 lr_twice "$FANIN" compare $net $fast --lr 0.1,0.10
exits 2 lr_below_0 "$FANIN" compare $net $fast --lr 0.1,-1
exits 2 unknown_activation "$FANIN" compare $net $fast --activations relu,foo
says unknown_activation_says "'foo'"
exits 3 broken_yaml sh -c 'printf "model: mlp:2-8x1-2\nschemes: [he\n" >broken.yaml; "$FANIN" compare broken.yaml'
says broken_yaml_says "broken.yaml line 3"
exits 2 no_count "$FANIN" compare lenet5 $fast --depths 2,3
exits 2 two_optimizers "$FANIN" compare $net $fast --optimizer sgd --optimizers sgd,adam

exits 2 no_data "$FANIN" compare $net --steps 5
exits 2 no_steps "$FANIN" compare $net --data spirals
exits 2 unknown_scheme "$FANIN" compare $net $fast --schemes he,hee
says unknown_scheme_says hee
exits 2 unknown_optimizer "$FANIN" compare $net $fast --optimizer sdg
exits 5 no_folder "$FANIN" compare $net $fast --html none/page.html
exits 130 interrupted sh -c '"$0" compare mlp:1024-500x5-9 --data shapeset --steps 100000 --quiet & p=$!; sleep 2; kill -INT $p; wait $p' "$FANIN"

# check: exit 1 when unhealthy, unless told never to.
check healthy "$FANIN" check mlp:784-100x5-10 --scheme he --html check.html --json
gives check_fields "' '.join(d)" "model scheme verdict layers summary"
gives verdict "d['verdict']" healthy
gives no_first_bad "d['summary']['first_bad_layer']" None
check check_page sh -c 'grep -q "<title>" check.html && ! grep -qE "(src|href)=.?https?:" check.html'
exits 1 unhealthy "$FANIN" check mlp:784-100x5-10 --scheme zeros
check unhealthy_never "$FANIN" check mlp:784-100x5-10 --scheme zeros --fail-on never --json
gives symmetric "d['verdict']" symmetric
gives first_bad "d['summary']['first_bad_layer']" fc1.weight
exits 2 bad_threshold "$FANIN" check mlp:784-100x5-10 --threshold dea=1
check threshold "$FANIN" check mlp:784-100x5-10,act=tanh --scheme lecun_normal:gain=3 --threshold saturated=0.9
narrow check_table "$FANIN" check mlp:784-100x5-10 --scheme he
narrow check_sick_table "$FANIN" check mlp:784-100x5-10 --scheme zeros --fail-on never
if [ -d "$shared/models/graphs" ]; then
  narrow check_gpt "$FANIN" check "$shared/models/graphs/gpt_tiny_weights.onnx" --scheme he --batch 2 --fail-on never
else
  skip check_gpt "no ../shared"
fi

for kind in activations rules schemes streams operators optimizers models data; do
  narrow list_$kind "$FANIN" list $kind
done
check list_stream "$FANIN" list streams torch
check list_operator "$FANIN" list operators conv
check list_json "$FANIN" list operators --json
gives operators_count "len(d['operators']) > 100" True
exits 2 list_nothing "$FANIN" list nothing
says list_nothing_says operators
"$FANIN" init $net --scheme he --quiet -o w.safetensors
narrow show "$FANIN" show w.safetensors
narrow data_info "$FANIN" data info shapeset
# Convolutions in runs side by side: plans must be made for the one thread that a run has.
check conv_data "$FANIN" data make teacher:in=784,out=10 --samples 40 -o conv_x.npy,conv_t.npy
check conv_runs_do_not_wait timeout 120 "$FANIN" compare lenet5 --data conv_x.npy,conv_t.npy \
  --schemes torch,he,xavier --steps 3 --batch 8 --eval-samples 40
finish
