"""The viewer inside a page of :mod:`.html`: WebGL and plain JavaScript, nothing from a network."""

STYLE = """
html, body { margin: 0; height: 100%; font: 15px/1.45 sans-serif; color: #191c21; background: #fff; }
#room { position: absolute; inset: 0 300px 0 0; }
canvas { width: 100%; height: 100%; display: block; touch-action: none; cursor: grab; }
#side { position: absolute; inset: 0 0 0 auto; width: 276px; padding: 12px; overflow-y: auto;
        border-left: 1px solid #d7dade; box-sizing: content-box; }
h1 { font-size: 19px; margin: 0 0 8px; overflow-wrap: anywhere; }
select, input[type=range] { width: 100%; font: inherit; margin: 4px 0 10px; box-sizing: border-box; }
.entry { display: flex; align-items: center; gap: 8px; }
.entry i { flex: none; width: 16px; height: 16px; border: 1px solid #191c21; }
#bar { width: 100%; height: 16px; } #ends { display: flex; justify-content: space-between; }
#picked { border-top: 1px solid #d7dade; margin-top: 12px; padding-top: 8px; overflow-wrap: anywhere; }
#picked b { font-weight: 600; } small { color: #5a6068; }
#charts { position: absolute; inset: 0 300px 0 0; background: #fff; display: none; overflow: auto; }
#charts img { width: 100%; }
#trouble { position: absolute; top: 40%; left: 0; right: 300px; text-align: center; }
"""

BODY = """
<div id="room"><canvas id="view"></canvas></div><div id="charts"></div><div id="trouble">reading …</div>
<div id="side"><h1 id="name"></h1>
<label>colours<select id="mode"></select></label><div id="legend"></div>
<label>cut off above<input id="cut" type="range" min="0" max="1" step="0.005"></label>
<label>size of points<input id="size" type="range" min="0.3" max="4" step="0.05" value="1"></label>
<button id="more" hidden>charts of the whole cloud</button>
<div id="picked">Click a point to see its values.</div>
<p><small>Drag: turn · right button or shift: move · wheel: nearer. <span id="count"></span></small></p></div>
"""

READ = """
const meta = JSON.parse(document.getElementById("meta").textContent), by = id => document.getElementById(id);
const count = meta.count;
async function blob(number) {
  const element = by("b" + number), text = atob(element.textContent);
  element.remove();
  const bytes = Uint8Array.from(text, c => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
function positions(bytes) {  // sums of differences, modulo 2^16
  const grid = new Uint16Array(4 * count);
  for (let axis = 0; axis < 3; axis++) {
    const start = 2 * axis * count;
    for (let i = 0, sum = 0; i < count; i++) {
      sum = (sum + bytes[start + i] + 256 * bytes[start + count + i]) & 65535;
      grid[4 * i + axis] = sum;
    }
  }
  return grid;
}
function sites(bytes) {
  const site = new Uint32Array(count);
  for (let k = 0; k < 4; k++) for (let i = 0; i < count; i++) site[i] |= bytes[k * count + i] << (8 * k);
  return site;
}
const place = (layer, i) => layer.values[layer.at ? layer.at[i] : i];
function colors(layer) {
  const out = new Uint8Array(4 * count);
  for (let i = 0; i < count; i++) {
    const p = layer.rgb === undefined ? 3 * place(layer, i) : 0;
    for (let k = 0; k < 3; k++)
      out[4 * i + k] = layer.rgb === undefined ? layer.table[p + k] : layer.values[k * count + i];
  }
  return out;
}
function said(layer, i) {  // what a layer says of a point
  if (layer.rgb !== undefined) return null;
  const p = place(layer, i);
  if (layer.scale) {
    if (p >= layer.nothing) return "none";
    const [low, high] = layer.span;
    if (layer.by === "attention") return (100 * p / (layer.nothing - 1)).toFixed(0) + " % of the scale";
    return layer.by === "height" ? null : (low + (high - low) * p / (layer.nothing - 1)).toFixed(2);
  }
  return layer.names[p];
}
"""

DRAW = """
const canvas = by("view"), gl = canvas.getContext("webgl2", {antialias: false, preserveDrawingBuffer: true});
const VERTEX = `#version 300 es
in vec3 grid; in vec3 color; uniform vec3 low, step; uniform mat4 sight; uniform float scale, cut; out vec3 shade;
void main() {
  vec3 pos = low + step * grid; gl_Position = sight * vec4(pos, 1.0); shade = color;
  gl_PointSize = clamp(scale / gl_Position.w, 1.0, 30.0);
  if (pos.z > cut) gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
}`;
const FRAGMENT = `#version 300 es
precision mediump float; in vec3 shade; out vec4 pixel; void main() { pixel = vec4(shade, 1.0); }`;
let program, places, colorBuffer, grid, current;
const high = meta.low.map((v, k) => v + 65535 * meta.step[k]);
const eye = {target: meta.low.map((v, k) => (v + high[k]) / 2), turn: -2.0, tilt: 0.75, away: 5, fov: 0.9};
let cut = meta.low[2] + 0.72 * (high[2] - meta.low[2]), clicked = null;
function shader(kind, text) {
  const made = gl.createShader(kind); gl.shaderSource(made, text); gl.compileShader(made);
  if (!gl.getShaderParameter(made, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(made));
  gl.attachShader(program, made);
}
function attribute(name, type, normal, stride) {
  const buffer = gl.createBuffer(), where = gl.getAttribLocation(program, name);
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer); gl.enableVertexAttribArray(where);
  gl.vertexAttribPointer(where, 3, type, normal, stride, 0);
  return buffer;
}
function prepare() {
  program = gl.createProgram(); shader(gl.VERTEX_SHADER, VERTEX); shader(gl.FRAGMENT_SHADER, FRAGMENT);
  gl.linkProgram(program); gl.useProgram(program); gl.enable(gl.DEPTH_TEST); gl.clearColor(1, 1, 1, 1);
  attribute("grid", gl.UNSIGNED_SHORT, false, 8);
  gl.bufferData(gl.ARRAY_BUFFER, grid, gl.STATIC_DRAW);
  colorBuffer = attribute("color", gl.UNSIGNED_BYTE, true, 4);
  gl.uniform3fv(gl.getUniformLocation(program, "low"), meta.low);
  gl.uniform3fv(gl.getUniformLocation(program, "step"), meta.step);
}
function axes() {  // right, up and back of the camera, z up
  const [a, b] = [eye.turn, eye.tilt], c = Math.cos, s = Math.sin;
  const back = [c(b) * c(a), c(b) * s(a), s(b)], right = [-s(a), c(a), 0];
  return [right, [-s(b) * c(a), -s(b) * s(a), c(b)], back];
}
function sight() {  // column by column: projection times view
  const [r, u, k] = axes(), at = eye.target.map((v, i) => v + eye.away * k[i]);
  const dot = v => -(v[0] * at[0] + v[1] * at[1] + v[2] * at[2]);
  const f = 1 / Math.tan(eye.fov / 2), aspect = canvas.width / canvas.height, n = eye.away / 500, z = eye.away * 50;
  const p = (z + n) / (n - z), q = 2 * z * n / (n - z), out = [];
  for (let i = 0; i < 4; i++) {
    const [x, y, w] = [r, u, k].map(v => i < 3 ? v[i] : dot(v));
    out.push(f / aspect * x, f * y, p * w + (i === 3 ? q : 0), -w);
  }
  return out;
}
let waiting = false;
function redraw() { if (!waiting) { waiting = true; requestAnimationFrame(draw); } }
function draw() {
  waiting = false;
  const ratio = window.devicePixelRatio || 1, w = canvas.clientWidth * ratio | 0, h = canvas.clientHeight * ratio | 0;
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  gl.viewport(0, 0, w, h); gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  const at = name => gl.getUniformLocation(program, name);
  gl.uniformMatrix4fv(at("sight"), false, sight()); gl.uniform1f(at("cut"), cut);
  gl.uniform1f(at("scale"), meta.size * by("size").value * h / (2 * Math.tan(eye.fov / 2)));
  gl.drawArrays(gl.POINTS, 0, count);
  ring("looks", looks() ? meta.mark : null, "#c8146e"); ring("clicked", clicked, "#191c21");
}
function project(m, x, y, z) {
  const w = m[3] * x + m[7] * y + m[11] * z + m[15];
  return [(m[0] * x + m[4] * y + m[8] * z + m[12]) / w, (m[1] * x + m[5] * y + m[9] * z + m[13]) / w, w];
}
const looks = () => meta.mark && current.by === "attention";  // a point that looks stays, whatever is clicked
function ring(name, at, color) {
  let mark = by(name);
  if (!mark) { mark = document.createElement("div"); mark.id = name; by("room").append(mark);
    mark.style.cssText = `position:absolute;width:18px;height:18px;margin:-11px;border:3px solid ${color};` +
      "outline:2px solid #fff;border-radius:50%;pointer-events:none"; }
  const [x, y, w] = at ? project(sight(), ...at) : [9, 9, -1];
  mark.style.display = w > 0 && Math.abs(x) < 1 && Math.abs(y) < 1 ? "" : "none";
  mark.style.left = 50 + 50 * x + "%"; mark.style.top = 50 - 50 * y + "%";
}
"""

USE = """
function show(number) {
  current = meta.layers[number];
  gl.bindBuffer(gl.ARRAY_BUFFER, colorBuffer); gl.bufferData(gl.ARRAY_BUFFER, colors(current), gl.STATIC_DRAW);
  const legend = by("legend"); legend.replaceChildren();
  for (const [text, color] of current.legend) {
    const row = document.createElement("div"), box = document.createElement("i");
    row.className = "entry"; box.style.background = `rgb(${color})`; row.append(box, text); legend.append(row);
  }
  if (current.scale) {
    const bar = document.createElement("div"), ends = document.createElement("div"), stops = [];
    for (let i = 0; i < 9; i++) {
      const p = 3 * Math.round(i / 8 * (current.nothing - 1)); stops.push(`rgb(${current.table.slice(p, p + 3)})`);
    }
    bar.id = "bar"; bar.style.background = `linear-gradient(to right, ${stops})`; ends.id = "ends";
    ends.append(...current.scale.map(text => Object.assign(document.createElement("span"), {textContent: text})));
    legend.append(bar, ends);
  }
  if (current.note) legend.append(current.note);
  if (looks()) legend.append(document.createElement("br"), "The red ring marks the point that looks.");
  redraw();
}
function pick(x, y) {  // the nearest point within a few pixels of the click
  const m = sight(), w = canvas.clientWidth, h = canvas.clientHeight, [a, b, c] = meta.low, [d, e, f] = meta.step;
  const reach = 5 / (h / 2), aspect = w / h, px = 2 * x / w - 1, py = 1 - 2 * y / h;
  let best = -1, nearest = Infinity;
  for (let i = 0; i < count; i++) {
    const z = c + f * grid[4 * i + 2];
    if (z > cut) continue;
    const [u, v, depth] = project(m, a + d * grid[4 * i], b + e * grid[4 * i + 1], z);
    if (depth > 0 && Math.hypot((u - px) * aspect, v - py) < reach && depth < nearest) { best = i; nearest = depth; }
  }
  if (best < 0) return;
  clicked = [0, 1, 2].map(k => meta.low[k] + meta.step[k] * grid[4 * best + k]);
  const lines = [["place", clicked.map(v => v.toFixed(2)).join(", ") + " m"]];
  for (const layer of meta.layers) { const text = said(layer, best); if (text) lines.push([layer.title, text]); }
  by("picked").replaceChildren(...lines.map(([head, text]) => {
    const row = document.createElement("div"), bold = document.createElement("b");
    bold.textContent = head; row.append(bold, " " + text); return row;
  }));
  redraw();
}
let from = null, moved = 0;
canvas.addEventListener("pointerdown", e => {
  from = [e.clientX, e.clientY, e.button === 2 || e.shiftKey]; moved = 0; canvas.setPointerCapture(e.pointerId);
});
canvas.addEventListener("pointermove", e => {
  if (!from) return;
  const dx = e.clientX - from[0], dy = e.clientY - from[1];
  moved += Math.abs(dx) + Math.abs(dy); from[0] = e.clientX; from[1] = e.clientY;
  if (from[2]) {
    const [r, u] = axes(), unit = 2 * eye.away * Math.tan(eye.fov / 2) / canvas.clientHeight;
    eye.target = eye.target.map((v, k) => v + unit * (dy * u[k] - dx * r[k]));
  } else {
    eye.turn -= 0.006 * dx; eye.tilt = Math.min(1.57, Math.max(-1.57, eye.tilt + 0.006 * dy));
  }
  redraw();
});
canvas.addEventListener("pointerup", e => { from = null; if (moved < 4) pick(e.offsetX, e.offsetY); });
canvas.addEventListener("contextmenu", e => e.preventDefault());
canvas.addEventListener("wheel", e => {
  e.preventDefault(); eye.away *= Math.exp(0.001 * e.deltaY); redraw();
}, {passive: false});
async function start() {
  if (!gl) throw new Error("this browser has no WebGL 2");
  by("name").textContent = meta.name;
  by("count").textContent = meta.count < meta.total ?
    `${meta.count.toLocaleString("en")} of ${meta.total.toLocaleString("en")} points.` :
    `${meta.count.toLocaleString("en")} points.`;
  grid = positions(await blob(0));
  const read = {};
  for (const layer of meta.layers) {
    const number = layer.rgb ?? layer.index, bytes = await blob(number);
    layer.values = layer.wide ? new Uint16Array(bytes.buffer) : bytes;
    if (layer.site != null) layer.at = read[layer.site] ??= sites(await blob(layer.site));
    by("mode").append(Object.assign(document.createElement("option"), {textContent: layer.title}));
  }
  const size = high.map((v, k) => v - meta.low[k]);
  const shape = canvas.clientWidth / canvas.clientHeight;
  eye.away = 0.47 * Math.hypot(...size) / Math.tan(eye.fov / 2) / Math.min(1, shape);
  if (size[0] >= size[1]) eye.turn = -1.2;
  prepare();
  by("cut").min = meta.low[2]; by("cut").max = high[2]; by("cut").step = 0.01; by("cut").value = cut;
  by("cut").oninput = () => { cut = +by("cut").value; redraw(); };
  by("size").oninput = redraw; window.addEventListener("resize", redraw);
  by("mode").selectedIndex = meta.first; by("mode").onchange = () => show(by("mode").selectedIndex);
  if (meta.charts) {
    by("more").hidden = false;
    by("charts").append(Object.assign(document.createElement("img"), {src: meta.charts}));
    by("more").onclick = () => { const c = by("charts"); c.style.display = c.style.display ? "" : "block"; };
  }
  by("trouble").remove(); show(meta.first); document.body.dataset.ready = "yes";
}
start().catch(error => { by("trouble").textContent = "cannot show the cloud: " + error.message; });
"""

PAGE = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>point cloud</title><style>{STYLE}</style></head>
<body>{BODY}<script type="application/json" id="meta">@META@</script>
@DATA@
<script>{READ}{DRAW}{USE}</script></body></html>
"""
