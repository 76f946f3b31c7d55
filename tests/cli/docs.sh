# README.md and docs/: every command that stands there runs as it stands, but for shorter training; files and headers
# that are named exist.
. "$FANIN_SOURCE_DIR/tests/cli/lib.sh"
PATH=$(dirname "$FANIN"):$PATH
FANIN_DATA=${FANIN_DATA:-$shared/data}
export PATH FANIN_DATA
printf 'sepal,petal,stem,leaf,species\n' >flowers.csv
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  echo "$i,$((i * 7 % 5)),$((i * 3 % 7)),$((i % 4)),kind$((i % 3))"
done >>flowers.csv
[ -f "$shared/models/graphs/resnet50.onnx" ] && ln -s "$shared/models/graphs/resnet50.onnx" .

runs() { # NAME COMMAND
  case $2 in
  *resnet50.onnx* | *r50.*)
    [ -e resnet50.onnx ] || { skip "$1" "no resnet50.onnx" && return; }
    [ "$FANIN_SANITIZED" = 0 ] || { skip "$1" "minutes under sanitizers" && return; }
    ;;
  *mnist* | *runs.db*) [ -d "$FANIN_DATA/mnist" ] || { skip "$1" "no MNIST" && return; } ;;
  *reproduce*) skip "$1" "reproduce.sh runs it" && return ;;
  esac
  check "$1" sh -c "$(printf '%s' "$2" | sed 's/--epochs [0-9]*/--steps 20/; s/--steps [0-9]*/--steps 20/; s/--monitor [0-9]*/--monitor 10/; s/--seeds [0-9]*/--seeds 2/')"
}

for page in "$FANIN_SOURCE_DIR/README.md" "$FANIN_SOURCE_DIR"/docs/*.md; do
  doc=$(basename "$page" .md)
  grep '^    fanin ' "$page" >commands.txt
  line=0
  while IFS= read -r command <&3; do
    line=$((line + 1))
    runs "${doc}_$line" "$command"
  done 3<commands.txt
  # `room/file.c`, `docs/page.md`, `include/fanin/x.h`; capitals stand for a name of one's choice
  for file in $(grep -o '`[a-z][a-z0-9_/.-]*/[a-z0-9_.-]*\.\(c\|h\|md\|sh\|py\|def\)`' "$page" | tr -d '`' | sort -u); do
    case $doc in compat-streams) continue ;; esac # other people's sources
    check "${doc}_names_$file" sh -c "cd '$FANIN_SOURCE_DIR' && ls $file src/$file include/$file 2>/dev/null | grep -q ."
  done
  for link in $(grep -o '](\([a-zA-Z0-9_/.-]*\)[)#]' "$page" | tr -d '](#)' | sort -u); do
    check "${doc}_links_to_$link" test -e "$(dirname "$page")/$link"
  done
done

# The two files that are shown.
awk '/^```yaml/ { on = 1; next } /^```/ { on = 0 } on' "$FANIN_SOURCE_DIR/docs/schemes.md" >scheme.yaml
check scheme_file fanin explain gpt2:layers=2,width=64,heads=4,vocab=65,tied=0 --scheme scheme.yaml
awk '/^    model:/ { on = 1 } /^[^ ]/ { on = 0 } on' "$FANIN_SOURCE_DIR/docs/runs.md" | sed 's/^    //; s/epochs: .*/steps: 20/' >experiment.yaml
if [ -d "$FANIN_DATA/mnist" ]; then
  check experiment_file fanin train experiment.yaml
else
  skip experiment_file "no MNIST"
fi
finish
