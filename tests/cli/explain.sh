# fanin explain: one row a tensor, scheme files and their mistakes.
. "$FANIN_SOURCE_DIR/tests/cli/lib.sh"
unset COLUMNS

check table "$FANIN" explain resnet:20
check fits_80_columns sh -c "'$FANIN' explain resnet:20 --quiet | awk '{gsub(/[^ -~]+/, \"x\")} length > 80 {bad = 1} END {exit bad}'"
check json sh -c "'$FANIN' explain resnet:50 --scheme he --json | grep -q '\"parameters\":25557032'"
check json_fields sh -c "'$FANIN' explain mlp:4-3 --scheme he --json --quiet | grep -q '\"name\":\"fc1.weight\",\"shape\":\[3,4\],\"dtype\":\"F32\",\"op\":\"Gemm\",\"class\":\"output\",\"fan_in\":4.0,\"fan_out\":3.0,\"rule\":\"he_normal\",\"mean\":0.0,\"std\":0.70710678118654'"

check as_scheme sh -c "'$FANIN' explain gpt2:layers=2,width=64,heads=4,vocab=65 --scheme gpt2 --as-scheme > s.yaml"
check read_back sh -c "'$FANIN' init gpt2:layers=2,width=64,heads=4,vocab=65 --scheme s.yaml -o a.safetensors"
check same sh -c "'$FANIN' init gpt2:layers=2,width=64,heads=4,vocab=65 --scheme gpt2 -o b.safetensors"
check round_trip "$FANIN" diff a.safetensors b.safetensors

printf -- '- "*.weight": he_normal\n' > unset.yaml
exits 2 unset "$FANIN" explain mlp:4-3 --scheme unset.yaml
says unset_says "fc1.bias"
printf -- '- "*": zeros\n- "conv*": ones\n' > dead.yaml
exits 2 dead "$FANIN" explain mlp:4-3 --scheme dead.yaml
says dead_says "line 2 'conv\*' matches no tensor"
printf -- '- "*.weight": zeros\n- "*": ones\n' > shadowed.yaml
exits 2 shadowed "$FANIN" explain mlp:4-3 --scheme shadowed.yaml
says shadowed_says "shadowed"
printf -- '- match: *.weight\n  rule: zeros\n' > unquoted.yaml
exits 3 unquoted "$FANIN" explain mlp:4-3 --scheme unquoted.yaml
says unquoted_says "must be quoted"
check auto_by_default sh -c "'$FANIN' explain mlp:100-50-10 --quiet --json | grep -q '\"scheme\":\"auto\"'"
check auto_says_why sh -c "'$FANIN' explain mlp:100-50-10 --why | tr -s ' \n' ' ' | grep -q 'auto: target second moment 1 (hidden layer); weights of variance 1 would give 100'"
exits 2 auto_without_operators "$FANIN" explain tensor:w=4x3 --scheme auto
exits 2 rule_that_does_not_fit "$FANIN" explain mlp:4-3 --rule '*.weight=dirac'
exits 2 template_without_layout "$FANIN" explain a.safetensors
exits 0 template "$FANIN" explain a.safetensors --layout torch

check patterns sh -c "'$FANIN' explain gpt2:layers=2,width=64,heads=4,vocab=65 --quiet | tr '\n' ' ' | grep -q 'patterns: .*2 attentions (4 heads x 16, causal, packed q|k|v)'"
check patterns_json sh -c "'$FANIN' explain gpt2:layers=2,width=64,heads=4,vocab=65 --quiet --json | grep -q '\"kind\":\"attention\",\"count\":2,.*\"causal\":true'"
check no_patterns sh -c "! '$FANIN' explain mlp:4-3 --quiet | grep -q patterns"

if [ -d "$shared/models/graphs" ]; then
  check patterns_of_a_file sh -c "'$FANIN' show '$shared/models/graphs/vit_b_16.onnx' --quiet | tr '\n' ' ' | grep -q 'patterns: 12 GELU (erf form, spelled out), 25 layer norms (spelled out, eps 1e-6)'"
  for graph in "$shared"/models/graphs/*.onnx; do
    check "$(basename "$graph")" "$FANIN" explain "$graph" --quiet
  done
fi
finish
