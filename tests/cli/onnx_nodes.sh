# ONNX's own node tests, where Python has the onnx package.
. "$FANIN_SOURCE_DIR/tests/cli/lib.sh"

python=
for p in python3 /usr/bin/python3; do
  if [ -z "$python" ] && "$p" -c 'import numpy, onnx' 2>/dev/null; then python=$p; fi
done
if [ "$FANIN_SANITIZED" = 1 ]; then
  skip "operators give the standard's numbers" "sanitizers make so many runs too slow"
elif [ -z "$python" ]; then
  skip "operators give the standard's numbers" "no python3 has onnx"
else
  check "operators give the standard's numbers" \
    "$python" "$FANIN_SOURCE_DIR/tests/cli/onnx_nodes.py" "$FANIN" "$tmp"
fi
finish
