// Viewer of the page that page.py writes: WebGL 2 and plain JavaScript, nothing is loaded from a network.
"use strict";

const element = id => document.getElementById(id);
const meta = JSON.parse(element("meta").textContent);
const count = meta.count;

// ---- reading the arrays of the page ----

async function readBlob(number) {
  const holder = element("b" + number);
  const bytes = Uint8Array.from(atob(holder.textContent), c => c.charCodeAt(0));
  holder.remove();
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function decodePositions(bytes) {  // cumulative sums of differences, modulo 2^16
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

function decodeTokens(bytes) {
  const token = new Uint32Array(count);
  for (let k = 0; k < 4; k++) for (let i = 0; i < count; i++) token[i] |= bytes[k * count + i] << (8 * k);
  return token;
}

const tableRow = (layer, i) => layer.values[layer.tokens ? layer.tokens[i] : i];

function pointColors(layer) {
  const out = new Uint8Array(4 * count);
  for (let i = 0; i < count; i++) {
    const p = layer.rgb === undefined ? 3 * tableRow(layer, i) : 0;
    for (let k = 0; k < 3; k++)
      out[4 * i + k] = layer.rgb === undefined ? layer.table[p + k] : layer.values[k * count + i];
  }
  return out;
}

function valueText(layer, i) {  // value of point i in a layer, null if there is nothing to show
  if (layer.rgb !== undefined) return null;
  const p = tableRow(layer, i);
  if (!layer.scale) return layer.names[p];
  if (p >= layer.missing) return "none";
  const part = p / (layer.missing - 1), [low, high] = layer.span;
  if (layer.by === "attention") return (100 * part).toFixed(0) + " % of the scale";
  return layer.by === "height" ? null : (low + (high - low) * part).toFixed(2);
}

// ---- drawing ----

const canvas = element("view");
const gl = canvas.getContext("webgl2", {antialias: false, preserveDrawingBuffer: true});
const VERTEX = `#version 300 es
in vec3 grid; in vec3 color; uniform vec3 low, step; uniform mat4 camera; uniform float scale, cut; out vec3 shade;
void main() {
  vec3 pos = low + step * grid; gl_Position = camera * vec4(pos, 1.0); shade = color;
  gl_PointSize = clamp(scale / gl_Position.w, 1.0, 30.0);
  if (pos.z > cut) gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
}`;
const FRAGMENT = `#version 300 es
precision mediump float; in vec3 shade; out vec4 pixel; void main() { pixel = vec4(shade, 1.0); }`;

let program, colorBuffer, grid, current;
let clicked = null;
const high = meta.low.map((v, k) => v + 65535 * meta.step[k]);
const eye = {target: meta.low.map((v, k) => (v + high[k]) / 2), turn: -2.0, tilt: 0.75, distance: 5, fov: 0.9};
let cut = meta.low[2] + 0.72 * (high[2] - meta.low[2]);

function compile(kind, text) {
  const shader = gl.createShader(kind);
  gl.shaderSource(shader, text);
  gl.compileShader(shader);
  if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
  gl.attachShader(program, shader);
}

function addAttribute(name, type, normalized, stride) {
  const buffer = gl.createBuffer(), location = gl.getAttribLocation(program, name);
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  gl.enableVertexAttribArray(location);
  gl.vertexAttribPointer(location, 3, type, normalized, stride, 0);
  return buffer;
}

function prepare() {
  program = gl.createProgram();
  compile(gl.VERTEX_SHADER, VERTEX);
  compile(gl.FRAGMENT_SHADER, FRAGMENT);
  gl.linkProgram(program);
  gl.useProgram(program);
  gl.enable(gl.DEPTH_TEST);
  gl.clearColor(1, 1, 1, 1);
  addAttribute("grid", gl.UNSIGNED_SHORT, false, 8);
  gl.bufferData(gl.ARRAY_BUFFER, grid, gl.STATIC_DRAW);
  colorBuffer = addAttribute("color", gl.UNSIGNED_BYTE, true, 4);
  gl.uniform3fv(gl.getUniformLocation(program, "low"), meta.low);
  gl.uniform3fv(gl.getUniformLocation(program, "step"), meta.step);
}

function cameraAxes() {  // right, up and back, with z up
  const [a, b] = [eye.turn, eye.tilt], c = Math.cos, s = Math.sin;
  return [[-s(a), c(a), 0], [-s(b) * c(a), -s(b) * s(a), c(b)], [c(b) * c(a), c(b) * s(a), s(b)]];
}

function cameraMatrix() {  // projection times view, in column order
  const [right, up, back] = cameraAxes(), position = eye.target.map((v, i) => v + eye.distance * back[i]);
  const shift = v => -(v[0] * position[0] + v[1] * position[1] + v[2] * position[2]);
  const f = 1 / Math.tan(eye.fov / 2), aspect = canvas.width / canvas.height;
  const near = eye.distance / 500, far = eye.distance * 50;
  const p = (far + near) / (near - far), q = 2 * far * near / (near - far), out = [];
  for (let i = 0; i < 4; i++) {
    const [x, y, w] = [right, up, back].map(v => i < 3 ? v[i] : shift(v));
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
  gl.viewport(0, 0, w, h);
  gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  const uniform = name => gl.getUniformLocation(program, name);
  gl.uniformMatrix4fv(uniform("camera"), false, cameraMatrix());
  gl.uniform1f(uniform("cut"), cut);
  gl.uniform1f(uniform("scale"), meta.size * element("size").value * h / (2 * Math.tan(eye.fov / 2)));
  gl.drawArrays(gl.POINTS, 0, count);
  placeRing("attending", showsAttention() ? meta.mark : null, "#c8146e");
  placeRing("clicked", clicked, "#191c21");
}

function project(m, x, y, z) {
  const w = m[3] * x + m[7] * y + m[11] * z + m[15];
  return [(m[0] * x + m[4] * y + m[8] * z + m[12]) / w, (m[1] * x + m[5] * y + m[9] * z + m[13]) / w, w];
}

// the attention in the page is that of one point, whichever point is clicked
const showsAttention = () => meta.mark && current.by === "attention";

function placeRing(id, at, color) {
  let ring = element(id);
  if (!ring) {
    ring = Object.assign(document.createElement("div"), {id, className: "ring"});
    ring.style.borderColor = color;
    element("scene").append(ring);
  }
  const [x, y, w] = at ? project(cameraMatrix(), ...at) : [9, 9, -1];
  ring.style.display = w > 0 && Math.abs(x) < 1 && Math.abs(y) < 1 ? "" : "none";
  ring.style.left = 50 + 50 * x + "%";
  ring.style.top = 50 - 50 * y + "%";
}

// ---- side bar ----

function showLayer(number) {
  current = meta.layers[number];
  element("mode").selectedIndex = number;
  gl.bindBuffer(gl.ARRAY_BUFFER, colorBuffer);
  gl.bufferData(gl.ARRAY_BUFFER, pointColors(current), gl.STATIC_DRAW);
  element("legend").innerHTML = current.legend;
  if (showsAttention()) element("legend").append("The ring marks the point that attends.");
  redraw();
}

function nearestPoint(x, y) {  // the frontmost point within a few pixels of the click, -1 for none
  const m = cameraMatrix(), w = canvas.clientWidth, h = canvas.clientHeight, [a, b, c] = meta.low, [d, e, f] = meta.step;
  const drawn = meta.size * element("size").value * h / (2 * Math.tan(eye.fov / 2)) / eye.distance;
  const reach = Math.max(5, 0.75 * drawn) / (h / 2), aspect = w / h, px = 2 * x / w - 1, py = 1 - 2 * y / h;
  let best = -1, nearest = Infinity;
  for (let i = 0; i < count; i++) {
    const z = c + f * grid[4 * i + 2];
    if (z > cut) continue;
    const [u, v, depth] = project(m, a + d * grid[4 * i], b + e * grid[4 * i + 1], z);
    if (depth > 0 && Math.hypot((u - px) * aspect, v - py) < reach && depth < nearest) { best = i; nearest = depth; }
  }
  return best;
}

function pick(x, y) {
  const point = nearestPoint(x, y);
  if (point < 0) return;
  clicked = [0, 1, 2].map(k => meta.low[k] + meta.step[k] * grid[4 * point + k]);
  const pixel = `column ${Math.round(clicked[0])}, row ${meta.rows - 1 - Math.round(clicked[1])}`;
  const lines = [meta.rows ? ["pixel", pixel] : ["position", clicked.map(v => v.toFixed(2)).join(", ") + " m"]];
  for (const layer of meta.layers) {
    const text = valueText(layer, point);
    if (text) lines.push([layer.title, text]);
  }
  element("picked").replaceChildren(...lines.map(([head, text]) => {
    const row = document.createElement("div"), bold = document.createElement("b");
    bold.textContent = head;
    row.append(bold, " " + text);
    return row;
  }));
  redraw();
}

// ---- mouse ----

let from = null, moved = 0;
canvas.addEventListener("pointerdown", e => {
  from = [e.clientX, e.clientY, e.button === 2 || e.shiftKey];
  moved = 0;
  canvas.setPointerCapture(e.pointerId);
});
canvas.addEventListener("pointermove", e => {
  if (!from) return;
  const dx = e.clientX - from[0], dy = e.clientY - from[1];
  moved += Math.abs(dx) + Math.abs(dy);
  from[0] = e.clientX;
  from[1] = e.clientY;
  if (from[2]) {
    const [right, up] = cameraAxes(), unit = 2 * eye.distance * Math.tan(eye.fov / 2) / canvas.clientHeight;
    eye.target = eye.target.map((v, k) => v + unit * (dy * up[k] - dx * right[k]));
  } else {
    eye.turn -= 0.006 * dx;
    eye.tilt = Math.min(1.57, Math.max(-1.57, eye.tilt + 0.006 * dy));
  }
  redraw();
});
canvas.addEventListener("pointerup", e => { from = null; if (moved < 4) pick(e.offsetX, e.offsetY); });
canvas.addEventListener("contextmenu", e => e.preventDefault());
canvas.addEventListener("wheel", e => {
  e.preventDefault();
  eye.distance *= Math.exp(0.001 * e.deltaY);
  redraw();
}, {passive: false});

// ---- start ----

function fillSideBar() {
  const number = n => n.toLocaleString("en"), all = `${number(meta.total)} points.`;
  document.title = element("name").textContent = meta.name;
  element("count").textContent = meta.count < meta.total ? `${number(meta.count)} of ${all}` : all;
  for (const layer of meta.layers)
    element("mode").append(Object.assign(document.createElement("option"), {textContent: layer.title}));
  element("mode").onchange = () => showLayer(element("mode").selectedIndex);
  Object.assign(element("cut"), {min: meta.low[2], max: high[2], step: 0.01, value: cut});
  element("cut").oninput = () => { cut = +element("cut").value; redraw(); };
  element("size").oninput = redraw;
  if (meta.charts) {
    const charts = element("charts"), more = element("more");
    more.hidden = false;
    charts.append(Object.assign(document.createElement("img"), {src: meta.charts}));
    more.onclick = () => {
      charts.style.display = charts.style.display ? "" : "block";
      more.textContent = charts.style.display ? "Hide charts" : "Show charts";
    };
  }
}

function placeCamera() {
  const size = high.map((v, k) => v - meta.low[k]), shape = canvas.clientWidth / canvas.clientHeight;
  eye.distance = 0.52 * Math.hypot(...size) / Math.tan(eye.fov / 2) / Math.min(1, shape);
  if (size[0] >= size[1]) eye.turn = -1.2;
  if (meta.rows) Object.assign(eye, {turn: -Math.PI / 2, tilt: 1.57});  // an image is seen from straight above
}

async function start() {
  if (!gl) throw new Error("this browser has no WebGL 2");
  grid = decodePositions(await readBlob(0));
  const tokens = {};
  for (const layer of meta.layers) {
    const bytes = await readBlob(layer.rgb ?? layer.index);
    layer.values = layer.wide ? new Uint16Array(bytes.buffer) : bytes;
    if (layer.token != null) layer.tokens = tokens[layer.token] ??= decodeTokens(await readBlob(layer.token));
  }
  fillSideBar();
  placeCamera();
  prepare();
  window.addEventListener("resize", redraw);
  element("message").remove();
  showLayer(meta.first);
  document.body.dataset.ready = "yes";
}
start().catch(error => { element("message").textContent = "Cannot show the cloud: " + error.message; });
