# Pages of check and compare in a headless browser: they load without a word on the console, ask nobody for
# anything, and hovering over a chart or walking it with the arrow keys reads out a column of its table.
. "$FANIN_SOURCE_DIR/tests/cli/lib.sh"
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
if [ -z "$browser" ]; then
  skip pages "no chromium"
  finish
fi

cat >probe.js <<'END'
<script>
const charts=[...document.querySelectorAll('figure.chart svg')],said=[];
for(const svg of charts){
 const b=svg.getBoundingClientRect(),tip=document.getElementById('tip');
 svg.dispatchEvent(new PointerEvent('pointermove',{clientX:b.left+b.width/2,clientY:b.top+20,bubbles:true}));
 said.push(tip.style.visibility=='visible'&&tip.textContent.length>4?'hover':'silent');
 svg.dispatchEvent(new PointerEvent('pointerleave'));
 said.push(tip.style.visibility=='hidden'?'gone':'stays');
 svg.dispatchEvent(new KeyboardEvent('keydown',{key:'ArrowRight'}));
 said.push(tip.style.visibility=='visible'?'keys':'deaf');
}
const wide=document.documentElement.scrollWidth>innerWidth?'overflows':'fits';
const asked=performance.getEntriesByType('resource').length;
document.title='RESULT charts='+charts.length+' '+[...new Set(said)].join(',')+' '+wide+' asked='+asked;
</script>
END

page() { # NAME FILE CHARTS WIDTH
  cat "$2" probe.js >probed.html
  timeout 60 "$browser" --headless --no-sandbox --disable-gpu --enable-logging=stderr --window-size=$4,900 \
    --user-data-dir="$tmp/browser" --dump-dom "file://$tmp/probed.html" >dom.html 2>log.txt
  check "$1" grep -q "RESULT charts=$3 hover,gone,keys fits asked=0" dom.html
  grep -o 'RESULT [^<]*' dom.html
  check "$1_console" sh -c '! grep CONSOLE log.txt'
}

"$FANIN" check mlp:784-60x6-10,act=tanh --scheme lecun --html check.html --quiet >/dev/null
"$FANIN" compare mlp:2-8x2-2,act=tanh --data spirals --steps 20 --schemes he,zeros --html compare.html --quiet >/dev/null
page check check.html 6 1280
page check_narrow check.html 6 500
page compare compare.html 6 1280
page compare_narrow compare.html 6 500
finish
