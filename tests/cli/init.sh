# fanin init: the same bytes however it is run, and nothing half-written whatever happens.
. "$FANIN_SOURCE_DIR/tests/cli/lib.sh"
model=mlp:784-1000x5-10,act=tanh

check writes "$FANIN" init $model --scheme he -o a.safetensors
check one_thread "$FANIN" init $model --scheme he --threads 1 -o b.safetensors
check same_bytes_on_any_thread_count cmp a.safetensors b.safetensors
check portable env FANIN_CPU=ref "$FANIN" init $model --scheme he -o b.safetensors
check same_bytes_on_any_instruction_set cmp a.safetensors b.safetensors
check diff_sees_none "$FANIN" diff a.safetensors b.safetensors
check other_seed "$FANIN" init $model --scheme he --seed 1 -o c.safetensors
exits 1 diff_sees_seeds "$FANIN" diff a.safetensors c.safetensors
check show "$FANIN" show a.safetensors
check explain_json sh -c "$FANIN explain $model --scheme xavier --json | grep -q '^{.*}$'"

exits 2 no_output "$FANIN" init $model
exits 2 unknown_scheme "$FANIN" init $model --scheme hee -o x.safetensors
says unknown_scheme_says "hee"
exits 2 rule_without_match "$FANIN" init $model --rule 'nothing*=zeros' -o x.safetensors
says rule_without_match_says "nothing"
exits 5 no_folder "$FANIN" init $model -o none/x.safetensors
exits 3 no_model "$FANIN" init none.onnx -o x.safetensors
exits 3 no_builtin "$FANIN" init nonsense:3 -o x.safetensors
check nothing_left sh -c '! ls -A | grep -q "x.safetensors"'

# Parts are slices of the whole, by name and bytes.
check part0 "$FANIN" init tensor:w=10x7 --scheme he --part 0/3 -o p0.npz
check part1 "$FANIN" init tensor:w=10x7 --scheme he --part 1/3 -o p1.npz
check whole "$FANIN" init tensor:w=10x7 --scheme he -o whole.npz

# Ctrl-C: exit 130, nothing under the final name. 8 GB to write is long enough to be caught.
interrupt() {
  "$FANIN" init mlp:16384-16384x8-10 --scheme he --quiet -o big.safetensors &
  pid=$!
  sleep 0.4
  kill -s "$1" $pid
  wait $pid
}
room=$(df -Pk . | awk 'NR==2 {print $4}')
if [ "$room" -gt 12000000 ]; then
  exits 130 interrupted interrupt INT
  check interrupted_leaves_nothing sh -c '! ls -A | grep -q 'big''
  exits 137 killed interrupt KILL
  check killed_leaves_no_final_name sh -c '! ls | grep -q big'
  rm -f .big*
else
  skip interrupted "less than 12 GB of disk"
fi

# A full disk: exit 5 and an empty folder.
mkdir full
if mount -t tmpfs -o size=1m tmpfs full 2>/dev/null; then
  exits 5 disk_full "$FANIN" init $model --scheme he -o full/x.safetensors
  says disk_full_says "full/x.safetensors"
  check disk_full_leaves_nothing sh -c '[ -z "$(ls -A full)" ]'
  umount full
else
  skip disk_full "no right to mount a tmpfs"
fi

# Every allocation fails in turn, once and from then on: exit 5 or the right bytes, never a crash.
sweep() {
  check sweep_reference "$FANIN" init mlp:4-3x1-2 --scheme orthogonal -o good.safetensors
  for kind in '' '+'; do
    n=1
    while [ $n -lt 2000 ]; do
      rm -f try.safetensors
      FANIN_FAIL_ALLOC=$n$kind "$FANIN" init mlp:4-3x1-2 --scheme orthogonal --quiet -o try.safetensors 2>err
      code=$?
      if [ $code = 0 ]; then
        cmp -s good.safetensors try.safetensors || return 1
        [ "$kind" = '' ] || return 0
        [ $n -lt 400 ] || break
      elif [ $code != 5 ] || [ -e try.safetensors ]; then
        echo "allocation $n$kind: exit $code"
        cat err
        return 1
      fi
      n=$((n + 1))
    done
  done
}
check allocation_faults sweep
finish
