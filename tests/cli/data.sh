# fanin data, and --data of files that are broken: exit 3 and one sentence that says where.
. "$FANIN_SOURCE_DIR/tests/cli/lib.sh"

printf 'a,b,y\n1,2,no\n3,4,yes\n5,6,no\n2,1,yes\n0,1,no\n' >ok.csv
printf 'a,b,y\n1,2,0\n3,nan,1\n' >nan.csv
printf 'a,b,y\n1,2,0\n3,4\n' >ragged.csv
printf 'a,y\n1,0\n2,0\n' >one.csv
printf '\000\000\010\003\000\000\000\002\000\000\000\001\000\000\000\001a' >t-images.idx
printf '\000\000\010\001\000\000\000\002\000\001' >t-labels.idx
gzip -c ok.csv >ok.csv.gz
head -c 30 ok.csv.gz >cut.csv.gz

check info "$FANIN" data info ok.csv:test=0
check info_json sh -c '"$0" data info ok.csv+standardize --json | grep -q "\"preprocessing\": *\"standardize"' "$FANIN"
check info_packed "$FANIN" data info ok.csv.gz:test=0
exits 3 nan "$FANIN" data info nan.csv
says nan_place "line 3, column 'b'"
exits 3 ragged "$FANIN" data info ragged.csv
says ragged_place 'line 3 has 2 fields'
exits 3 one_class "$FANIN" data info one.csv
says one_class_says 'two classes'
exits 3 truncated "$FANIN" data info t-images.idx
says truncated_says '1 bytes of numbers'
exits 3 cut "$FANIN" data info cut.csv.gz
says cut_says 'truncated gzip'
exits 3 absent "$FANIN" data info absent.csv
exits 3 train_nan "$FANIN" train mlp:2-4x1-2 --data nan.csv --scheme he --steps 1
exits 3 batch "$FANIN" train mlp:2-4x1-2 --data ok.csv --scheme he --steps 1 --batch 100
says batch_says 'fewer than a batch of 100'
exits 3 classes "$FANIN" train mlp:2-4x1-2 --data blobs:classes=5 --scheme he --steps 1
says classes_says '5 classes'
check make "$FANIN" data make blobs --samples 20 -o x.npy,t.npy
check made "$FANIN" data info x.npy,t.npy
for out in y.npz y.csv y.tsv y.idx,z.idx; do
  check "make_$out" "$FANIN" data make blobs --samples 20 --split test -o $out
  check "made_$out" "$FANIN" data info $out
done
exits 2 make_unknown "$FANIN" data make blobs -o y.dat
exits 5 make_full sh -c 'ulimit -f 1; trap "" XFSZ; exec "$0" data make blobs --samples 5000 -o full.csv' "$FANIN"
check make_full_leaves_nothing test ! -e full.csv
head -c 3073 /dev/zero >b.bin
check cifar "$FANIN" data info b.bin
exits 3 cifar_cut sh -c 'head -c 3072 b.bin >c.bin && "$0" data info c.bin' "$FANIN"
for loss in cross_entropy:label_smoothing=0.1 hinge bce mse l1 huber:delta=0.5; do
  check "train_$loss" "$FANIN" train mlp:2-4x1-2 --data ok.csv:test=0 --scheme he --steps 5 --batch 4 \
    --loss "$loss" --quiet
done
check recipe "$FANIN" train mlp:2-4x1-2 --data ok.csv:test=0+standardize --scheme he --steps 20 --batch 4 \
  --optimizer lion --schedule cosine:warmup=0.1 --group 'bias=lr:2,decay:0' --l1 1e-4 --l2 1e-4 --decay 0.01 \
  --clip-norm 1 --clip-agc 0.1 --gradient-noise 0.001 --max-norm 3 --activity-l1 1e-4 --augment mixup=0.2 --quiet
exits 2 bad_schedule "$FANIN" train mlp:2-4x1-2 --data ok.csv --scheme he --steps 5 --batch 4 --schedule cosinus
for text in "--data ok.csv:" "--data xor:" "--data ok.csv+normalize:" "--data ok.csv --optimizer sgd:" "--data ok.csv --loss mse:" \
  "--data ok.csv --schedule step:" "--data ok.csv --rule *=normal:" "--data ok.csv --stream torch:"; do
  set -f
  exits 2 "nothing_behind_colon $text" "$FANIN" train mlp:2-4x1-2 $text --scheme he --steps 5 --batch 4
  set +f
  says nothing_behind_colon_says "behind the ':'"
done
exits 2 bad_loss "$FANIN" check mlp:2-4x1-2 --loss crossentropy
check list_losses "$FANIN" list losses
check list_schedules "$FANIN" list schedules onecycle
finish
