# Pages of check and compare in a headless browser: they load without a word on the console, ask nobody for
# anything, hovering over a chart or a histogram or walking it with the arrow keys reads out its table, every
# one of them has a table, and pictures are drawn.
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
const ridges=[...document.querySelectorAll('figure.ridges svg')];
for(const svg of ridges){
 const b=svg.getBoundingClientRect(),tip=document.getElementById('tip'),mark=svg.querySelector('.mark');
 svg.dispatchEvent(new PointerEvent('pointermove',{clientX:b.left+b.width*.6,clientY:b.top+b.height/3,bubbles:true}));
 const first=tip.textContent;
 said.push(tip.style.visibility=='visible'&&/share {2}[0-9]/.test(first)?'hover':'silent');
 svg.dispatchEvent(new KeyboardEvent('keydown',{key:'ArrowDown'}));
 said.push(tip.textContent!=first&&mark.getAttribute('width')>0?'keys':'deaf');
 svg.dispatchEvent(new PointerEvent('pointerleave'));
 said.push(tip.style.visibility=='hidden'?'gone':'stays');
}
const bare=[...document.querySelectorAll('figure.chart,figure.ridges')].filter(f=>!f.querySelector('details table')).length;
const blank=[...document.images].filter(i=>!(i.complete&&i.naturalWidth>0)).length;
const numbers=[...document.querySelectorAll('figure,table')].some(e=>/NaN|nan\b|\binf\b/.test(e.outerHTML))?'odd':'fine';
// a table of many columns is stacked where the page is narrow: nothing of it lies outside
const aside=[...document.querySelectorAll('.stack')].some(t=>t.parentNode.scrollWidth>t.parentNode.clientWidth+1);
const wide=document.documentElement.scrollWidth>innerWidth||aside&&innerWidth<600?'overflows':'fits';
const asked=performance.getEntriesByType('resource').filter(e=>!e.name.startsWith('data:')).length;
const order=[...new Set(said)].sort().join(',');
let overlap=0;
for(const svg of document.querySelectorAll('figure.chart svg,figure.ridges svg')){
 const boxes=[...svg.querySelectorAll('text')].map(t=>t.getBoundingClientRect()).filter(b=>b.width>0);
 boxes.forEach((a,i)=>boxes.slice(i+1).forEach(b=>{
  const least=Math.min(a.height,b.height)/4;
  if(a.left<b.right-1&&b.left<a.right-1&&a.top<b.bottom-least&&b.top<a.bottom-least)overlap++}));
}
document.title='RESULT charts='+charts.length+' ridges='+ridges.length+' '+order+' '+wide+' asked='+asked+
 ' bare='+bare+' images='+document.images.length+' blank='+blank+' numbers='+numbers+' overlap='+overlap;
parent.postMessage(document.title,'*');
</script>
END

page() { # NAME FILE CHARTS RIDGES IMAGES WIDTH
  cat "$2" probe.js >probed.html
  # a window has 500 pixels at least: a narrow page stands in a frame
  printf '<script>onmessage=e=>document.title=e.data</script><iframe src=probed.html width=%d height=900></iframe>' \
    $6 >frame.html
  timeout 60 "$browser" --headless --no-sandbox --disable-gpu --enable-logging=stderr --window-size=1400,1000 --virtual-time-budget=3000 \
    --user-data-dir="$tmp/browser" --dump-dom "file://$tmp/frame.html" >dom.html 2>log.txt
  check "$1" grep -q \
    "RESULT charts=$3 ridges=$4 gone,hover,keys fits asked=0 bare=0 images=$5 blank=0 numbers=fine overlap=0" dom.html
  grep -o 'RESULT [^<]*' dom.html
  check "$1_console" sh -c '! grep CONSOLE log.txt'
}

"$FANIN" check mlp:784-60x6-10,act=tanh --scheme lecun --html check.html --quiet >/dev/null
"$FANIN" check mlp:40-40x4-40,act=tanh --scheme lecun --batch 8 --seeds 3 --lr 0.1 --spectrum --hessian --ntk \
  --html full.html --quiet >/dev/null
"$FANIN" check lenet5 --scheme he --batch 4 --html lenet.html --quiet >/dev/null
"$FANIN" compare mlp:2-8x2-2,act=tanh --data spirals --steps 20 --schemes he,zeros --html compare.html --quiet >/dev/null
"$FANIN" check mlp:20-20x24-5,act=tanh --scheme lecun --html deep.html --quiet >/dev/null
"$FANIN" train mlp:2-8x2-2,act=tanh --data spirals --steps 60 --html train.html --quiet >/dev/null
page check check.html 8 2 1 1280
page check_narrow check.html 8 2 1 400
page full full.html 10 2 1 1280
page full_narrow full.html 10 2 1 400
page lenet lenet.html 7 2 0 1280
page compare compare.html 6 2 0 1280
page compare_narrow compare.html 6 2 0 400
page deep_narrow deep.html 8 2 1 400
page train train.html 9 2 0 1280
page train_narrow train.html 9 2 0 400
for name in predicted theory "Phase diagram" "tangent kernel, trace" "largest stable rate" "Curvature of each layer"; do
  check "full_shows_$name" grep -q "$name" full.html
done
check bands grep -q 'polygon class="b c0"' full.html
finish
