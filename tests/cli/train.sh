# fanin train: killed and resumed at random, logged, from a file; fanin runs.
. "$FANIN_SOURCE_DIR/tests/cli/lib.sh"
net=mlp:1024-40x2-9,act=tanh,norm=batch,dropout=0.2
steps=2000
[ "$FANIN_SANITIZED" = 1 ] && steps=120
args="$net --data shapeset --scheme xavier --optimizer adam --steps $steps --batch 16 --eval-every 40 --eval-samples 100 --validation 50 --patience 1000 --monitor 50 --monitor-samples 20 --quiet"

field() { python3 -c "import json; d=json.load(open('$tmp/.out')); print($1)"; }
gives() { # NAME EXPRESSION TEXT
  got=$(field "$2" 2>&1)
  if [ "$got" = "$3" ]; then
    echo "[       OK ] $1"
  else
    echo "[  FAILED  ] $1: '$got', expected '$3'"
    failures=$((failures + 1))
  fi
}

check undisturbed "$FANIN" train $args -o whole.safetensors
# SIGKILL at random moments until the run is through: the weights are the same bytes.
cat >killed.sh <<'EOF'
set -u
kills=0 tries=0
while :; do
  tries=$((tries + 1))
  [ $tries -gt 400 ] && exit 3
  resume=""
  [ -e ck/last.safetensors ] && resume="--resume ck"
  rm -f killed.safetensors
  "$FANIN" train $1 --checkpoint ck --checkpoint-every 7 --log runs.db -o killed.safetensors $resume &
  pid=$!
  # Waits a random time from 0.1 to 0.5 s, a little longer each time.
  wait_for=$(awk -v s=$tries 'BEGIN{srand(s * 7919); printf "%.2f", 0.1 + 0.4 * rand() + s * 0.02}')
  sleep "$wait_for"
  if kill -KILL $pid 2>/dev/null; then kills=$((kills + 1)); fi
  wait $pid 2>/dev/null
  code=$?
  [ $code = 0 ] && break
  [ $code = 137 ] || exit $code
done
echo "killed $kills times"
EOF
check killed_at_random env FANIN="$FANIN" sh killed.sh "$args"
cp "$tmp/.out" killed.txt
check killed_some grep -qE "killed [1-9][0-9]* times" killed.txt
check killed_is_the_same cmp whole.safetensors killed.safetensors
check killed_leaves_no_aside sh -c '! ls -A ck | grep -v -e "^last.safetensors$" -e "^best.safetensors$" -e "^[.]last" -e "^[.]best"'
check one_run "$FANIN" runs sql runs.db "select count(*) n from run where status='done'" --json
gives one_run_done "d['rows'][0]['n']" 1
check store_whole "$FANIN" runs sql runs.db "select count(*) n from metric where name='test_loss' and run=(select id from run where status='done')" --json
gives store_points "d['rows'][0]['n']" $((steps / 40 + 1))
check store_layers "$FANIN" runs sql runs.db "select count(distinct step) n from layer where run=(select id from run where status='done')" --json
gives store_monitors "d['rows'][0]['n']" $(((steps + 49) / 50 + 1)) # each 50 steps, and the last

# Ctrl-C: saved, told how to go on, and that command works.
long="$net --data shapeset --scheme he --steps 100000 --eval-samples 50 --eval-every 100"
exits 130 interrupted sh -c '"$FANIN" train $0 --log i.db & p=$!; sleep 2; kill -INT $p; wait $p' "$long"
cp "$tmp/.err" told
check tells_how grep -q -e '--resume fanin-checkpoint' told
check saved test -s fanin-checkpoint/last.safetensors
check stored_interrupted "$FANIN" runs sql i.db "select status from run" --json
gives stored_interrupted_so "d['rows'][0]['status']" interrupted
# Killed before the first checkpoint: listed as killed.
sh -c '"$FANIN" train $0 --log k.db --quiet & p=$!; sleep 2; kill -KILL $p; wait $p' "$long" 2>/dev/null
check killed_listed "$FANIN" runs list k.db --json
gives killed_listed_so "d['runs'][0]['status']" killed
exits 2 changed_option "$FANIN" train $long --optimizer adam --resume fanin-checkpoint --quiet
says changed_option_says "optimizer was 'sgd', now it is 'adam'"
exits 2 changed_scheme "$FANIN" train ${long%--steps*} --scheme lecun --steps 100000 --eval-samples 50 --eval-every 100 --resume fanin-checkpoint --quiet
says changed_scheme_says "scheme was 'he', now it is 'lecun'"
exits 3 no_checkpoint sh -c '"$FANIN" train '"$long"' --resume none || exit $((($? == 2) * 3))'

# -o with --patience: the weights of the best evaluation, which are those of a run that ends there.
stops="mlp:2-8x1-2 --data spirals --scheme he --optimizer sgd:lr=3 --batch 6 --eval-every 3 --eval-samples 50"
check patience "$FANIN" train $stops --steps 300 --patience 5 -o best.safetensors --json
best=$(field "d['best_step']")
gives patience_saved "d['stopped_early'], d['saved_step'] == d['best_step'] < d['steps']" "True True"
check to_the_best "$FANIN" train $stops --steps "$best" -o there.safetensors --quiet
check patience_is_best cmp best.safetensors there.safetensors

exits 4 diverged "$FANIN" train mlp:2-8x3-2 --data spirals --scheme he --steps 200 --optimizer sgd:lr=1e6 --log d.db --quiet
check diverged_stored "$FANIN" runs sql d.db "select status, message from run" --json
gives diverged_status "d['rows'][0]['status'], d['rows'][0]['message'][:2]" "diverged fc"

# One file says it all.
cat >e.yaml <<'EOF'
# an experiment
model: mlp:2-8x1-2
data: spirals
scheme: he
rule: ["*.bias=zeros", "fc2.weight=normal:std=0.1"]
steps: 30
batch: 8
optimizer: "adam:lr=0.01"
eval-samples: 50
json: true
EOF
check yaml "$FANIN" train e.yaml -o e.safetensors
gives yaml_steps "d['steps'], d['scheme']" "30 he"
check by_hand "$FANIN" train mlp:2-8x1-2 --data spirals --scheme he --rule '*.bias=zeros' --rule fc2.weight=normal:std=0.1 --steps 30 --batch 8 --optimizer adam:lr=0.01 --eval-samples 50 --quiet -o h.safetensors
check yaml_is_the_same cmp e.safetensors h.safetensors
check line_wins "$FANIN" train e.yaml --steps 7
gives line_wins_so "d['steps']" 7
printf 'model: mlp:2-8x1-2\ndata: spirals\nstep: 30\n' >bad.yaml
# Products of operands in bfloat16: another run, kept as such by a checkpoint.
half="mlp:1024-40x2-9 --data shapeset --scheme he --steps 20 --eval-samples 50 --eval-every 20 --quiet"
check f32 "$FANIN" train $half -o f32.safetensors
check bf16 "$FANIN" train $half --dtype bf16 --checkpoint half -o bf16.safetensors
exits 1 bf16_differs "$FANIN" diff f32.safetensors bf16.safetensors
exits 2 bf16_resumed_as_f32 "$FANIN" train ${half%--steps*} --steps 40 --resume half --eval-samples 50 --eval-every 20 --quiet
says bf16_resumed_as_f32_says "dtype"
exits 2 no_such_precision "$FANIN" train $half --dtype f16
says no_such_precision_says "expected f32 or bf16"

exits 2 unknown_key "$FANIN" train bad.yaml
says unknown_key_says "bad.yaml line 3: 'step' is no option"
printf 'model: mlp:2-8x1-2\nsteps:\n  a: 1\n' >bad.yaml
exits 3 nested_key "$FANIN" train bad.yaml
says nested_key_says "line 3"
printf 'data: spirals\nsteps: 3\n' >bad.yaml
exits 2 no_model "$FANIN" train bad.yaml
exits 3 no_experiment "$FANIN" train none.yaml

# What cannot be written is said before training, and a disk that is full after it loses nothing.
exits 5 out_no_folder "$FANIN" train mlp:2-8x1-2 --data spirals --scheme he --steps 4000000 -o none/o.safetensors
full="mlp:2-64x2-2 --data spirals --scheme he --steps 40 --batch 6 --eval-samples 50 --patience 9"
exits 5 out_full sh -c 'ulimit -f 1; trap "" XFSZ; exec "$FANIN" train $0 --quiet -o full.safetensors' "$full"
check out_full_leaves_nothing test ! -e full.safetensors
check last "$FANIN" train $full --quiet --checkpoint fullck -o last.safetensors
rm last.safetensors
check out_again "$FANIN" train $full --quiet --resume fullck -o again.safetensors
check never "$FANIN" train $full --quiet -o never.safetensors
check out_again_same cmp again.safetensors never.safetensors

# The run store.
check tensorboard "$FANIN" train mlp:2-8x1-2 --data spirals --scheme he --steps 20 --monitor 5 --tensorboard tb --watch
check page "$FANIN" train mlp:2-8x2-2,act=tanh --data spirals --scheme he --steps 40 --monitor 5 --html train.html --quiet
check page_whole sh -c 'grep -q "Saturation" train.html && ! grep -qE "(src|href)=.?https?:" train.html'
exits 5 page_no_folder "$FANIN" train mlp:2-8x1-2 --data spirals --scheme he --steps 4 --html none/train.html --quiet
check tensorboard_file sh -c 'ls tb/events.out.tfevents.*'
check list "$FANIN" runs list runs.db --json
gives list_fields "' '.join(d['runs'][0])" "run kind status model data scheme seed steps test_loss test_error seconds"
check show "$FANIN" runs show runs.db 1
check show_json "$FANIN" runs show runs.db 1 --json
gives show_fields "' '.join(d)" "run configuration environment metrics layers"
exits 2 show_none "$FANIN" runs show runs.db 99
exits 2 sql_writes "$FANIN" runs sql runs.db "delete from run"
exits 3 no_store "$FANIN" runs list none.db
exits 5 store_not_writable "$FANIN" train mlp:2-8x1-2 --data spirals --scheme he --steps 20 --log none/runs.db
finish
