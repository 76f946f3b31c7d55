#!/bin/sh
# fanin reproduce and fanin list papers: fields, verdicts, exit codes, the page.
. "$FANIN_SOURCE_DIR/tests/cli/lib.sh"
check "papers are listed" sh -c '$FANIN list papers | grep -q ^seed-mlp'
if [ "${FANIN_SANITIZED:-0}" = 1 ]; then
  skip "seed-mlp" "sanitizers make it too slow"
else
  check "seed-mlp" $FANIN reproduce seed-mlp --quick --json -q --html page.html
  $FANIN reproduce seed-mlp --quick --json -q >out.json
  check "fields" python3 -c '
import json
r = json.load(open("out.json"))
c = {x["id"]: x for x in r["claims"]}
assert r["ok"] is True and len(c) >= 20
assert c["zero-fails-xor"]["verdict"] == "true" and c["zero-fails-xor"]["ours"] == 0
assert c["he-50-epochs"]["published"] == 50 and c["he-50-epochs"]["tolerance"] == 10
assert c["he-50-epochs"]["verdict"] in ("true", "false", "conditional")
assert c["zero-activations"]["verdict"] == "conditional" and c["zero-activations"]["condition"]
assert c["zero-stalls"]["condition"].startswith("holds for zero weights with ReLU, zero with sigmoid; not")
assert "not std 1 with Adam" in c["random-deep"]["condition"]
grid = [x for x in r["cells"] if x["epochs"] == 500 and x["optimizer"] == "adam:lr=0.1"
        and x["extras"] in ("", "bias 0.01") and x["model"].startswith("mlp:2-2-1")]
assert len(grid) >= 32
for x in grid:
    assert x["seeds"] == 1000 and x["success_low"] <= x["success"] <= x["success_high"]
'
  COLUMNS=80 $FANIN reproduce seed-mlp --quick -q >text
  check "80 columns of a long title" awk 'length($0) > 80 { exit 1 }' text
  check "the page is whole" grep -q "</html>\|</script>" page.html
  check "the page names a verdict" grep -q conditional page.html
fi
COLUMNS=80 $FANIN reproduce he2015 klambauer2017 -q >text
check "80 columns" awk 'length($0) > 80 { exit 1 }' text
exits 5 "no folder for the page" $FANIN reproduce he2015 --html nowhere/page.html
exits 2 "an unknown paper" $FANIN reproduce nonesuch
says "names the papers" seed-mlp
exits 2 "no paper" $FANIN reproduce
exits 2 "two efforts" $FANIN reproduce seed-mlp --quick --full
finish
