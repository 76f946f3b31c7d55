#!/bin/sh
# The main job, end to end: explain, initialise, check, train and compare seven initialisations of the
# network of Glorot & Bengio (2010) on their own endless task, and write report/index.html. Needs no
# download. If MNIST is found, it gets a page of its own.
#   scripts/demo.sh build/fanin [STEPS]
set -eu
fanin=$1
steps=${2:-20000}
model=mlp:1024-100x5-9,act=tanh
schemes=auto,zeros,normal:std=0.01,torch,xavier,he,orthogonal
mkdir -p report

echo "== which weights: fanin explain $model --scheme xavier"
$fanin explain $model --scheme xavier
echo
echo "== fanin init $model --scheme xavier -o report/weights.safetensors"
$fanin init $model --scheme xavier -o report/weights.safetensors
echo
echo "== what does happen: fanin check $model --scheme xavier --data shapeset"
$fanin check $model --scheme xavier --data shapeset --batch 300 --fail-on never
echo
link=""
if $fanin data info mnist >/dev/null 2>&1; then link="--link mnist.html"; fi
echo "== seven starts of one network, three seeds each, $steps updates of 10 samples"
# torch's weights are the paper's "standard"; the paper's biases are 0.
$fanin compare $model --data shapeset --schemes $schemes --rule '*.bias=zeros' --steps "$steps" \
  --batch 10 --optimizer sgd:lr=0.03 --seeds 3 --html report/index.html $link
if [ -n "$link" ]; then
  echo
  echo "== the same on MNIST"
  $fanin compare mlp:784-100x5-10,act=tanh --data mnist --schemes $schemes --rule '*.bias=zeros' \
    --steps $((steps / 4)) --batch 10 --optimizer sgd:lr=0.03 --html report/mnist.html
fi
echo
echo "the page: report/index.html"
