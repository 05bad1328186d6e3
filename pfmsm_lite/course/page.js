"use strict";
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const count = data.names.length, area = count * count, UNKNOWN = -128;
const SHADES = ["#67001f", "#b2182b", "#d6604d", "#f4a582", "#fddbc7", "#f7f7f7", "#d1e5f0", "#92c5de", "#4393c3",
  "#2166ac", "#053061"].map((hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16)));
const signed = (value, digits) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);

/** "rgb(…)" of a value from −1, red, over 0 to 1, blue. */
function shade(value) {
  const place = (Math.max(-1, Math.min(1, value)) + 1) / 2 * (SHADES.length - 1);
  const k = Math.min(Math.floor(place), SHADES.length - 2), rest = place - k;
  return `rgb(${SHADES[k].map((low, c) => Math.round(low + rest * (SHADES[k + 1][c] - low))).join(",")})`;
}

// ---- tables ----

function sort(table, column, head) {
  const down = head.getAttribute("aria-sort") === "ascending" || (!head.hasAttribute("aria-sort") && head.className === "number");
  for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const isNumber = head.className === "number", body = table.tBodies[0];
  const key = (row) => { const v = row.cells[column].dataset.v; return isNumber ? (v === "" ? NaN : Number(v)) : v; };
  const rows = [...body.rows].map((row) => [key(row), row]);
  rows.sort(([a], [b]) => {
    if (isNumber) return isNaN(a) - isNaN(b) || (isNaN(a) ? 0 : down ? b - a : a - b);  // what is missing comes last
    return (down ? -1 : 1) * a.localeCompare(b, undefined, { numeric: true });
  });
  body.append(...rows.map(([, row]) => row));
}

for (const table of document.querySelectorAll("table.sortable"))
  [...table.tHead.rows[0].cells].forEach((head, column) =>
    head.firstElementChild.addEventListener("click", () => sort(table, column, head)));

// ---- the rounds ----

let choice = null, cells = null, place = 0;
const unpacked = new Map();

function unpack(wanted) {
  if (!wanted.cells) return null;
  if (!unpacked.has(wanted)) unpacked.set(wanted, Int8Array.from(atob(wanted.cells), (c) => c.charCodeAt(0)));
  return unpacked.get(wanted);
}

/** Map 0, doublings of the even share, or map 1, cosines, at a row and a column: a number or null. */
function at(map, row, column) {
  const value = cells[(2 * place + map) * area + row * count + column];
  return value === UNKNOWN ? null : map ? value / 127 : value / data.steps;
}
const isOwn = (row, column) => row === column && data.block === 1;

function fill(select, values, chosen) {
  select.replaceChildren(...[...new Set(values)].map((value) => {
    const option = document.createElement("option");
    option.value = option.textContent = value === "" ? "–" : value;
    return option;
  }));
  select.value = chosen === "" ? "–" : chosen;
}

/** Take the choice that fits the menus best, and keep the round. */
function choose(method, seed, unit) {
  const number = choice ? choice.rounds[place] : Infinity;
  const score = (c) => 4 * (c.method === method) + 2 * (String(c.seed) === String(seed)) + (c.unit === unit);
  choice = data.choices.reduce((best, c) => (score(c) > score(best) ? c : best));
  cells = unpack(choice);
  const same = data.choices.filter((c) => c.method === choice.method);
  fill($("method"), data.choices.map((c) => c.method), choice.method);
  fill($("seed"), same.map((c) => String(c.seed)), String(choice.seed));
  fill($("unit"), same.filter((c) => c.seed === choice.seed).map((c) => c.unit), choice.unit);
  place = choice.rounds.findLastIndex((r) => r <= number);
  place = Math.max(0, place);
  $("round").max = choice.rounds.length - 1;
  $("round").value = place;
  show();
}

/** Pixels for the names beside a map; 2 where there are too many of them. */
function margin(width) {
  if (count > 24 || data.block > 1) return 2;
  const pen = $("weights").getContext("2d");
  pen.font = "12px system-ui, sans-serif";
  return Math.min(110, width * 0.26, 10 + Math.max(...data.names.map((name) => pen.measureText(name).width)));
}

/** Colours on a canvas, names where they have room. */
function draw(map) {
  const canvas = $(map ? "cosines" : "weights"), width = canvas.parentNode.clientWidth, ratio = window.devicePixelRatio || 1;
  const edge = margin(width), named = edge > 2;
  const side = (width - edge - 2) / Math.max(count, 1), height = cells ? edge + side * count + 2 : 60;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.aspectRatio = `${width} / ${height}`;
  const pen = canvas.getContext("2d"), ink = getComputedStyle(document.body).color;
  pen.scale(ratio, ratio);
  pen.font = `${Math.max(8, Math.min(12, side * 0.8))}px system-ui, sans-serif`;
  pen.textBaseline = "middle";
  if (!cells) {
    pen.fillStyle = ink;
    pen.fillText(`no map: ${choice.method} mixed nothing here`, 4, 30);
    return canvas.setAttribute("aria-label", `No map: ${choice.method} mixed nothing here.`);
  }
  for (let row = 0; row < count; row++)
    for (let column = 0; column < count; column++) {
      const value = isOwn(row, column) ? null : at(map, row, column);
      pen.fillStyle = value === null ? "#b5b5b5" : shade(map ? value : value / data.reach);
      pen.fillRect(edge + column * side, row * side, side + 0.4, side + 0.4);
      if (!map && value !== null && count <= 10) {
        pen.fillStyle = Math.abs(value / data.reach) > 0.6 ? "#fff" : "#222";
        pen.textAlign = "center";
        pen.fillText((2 ** value).toFixed(1), edge + (column + 0.5) * side, (row + 0.5) * side);
      }
    }
  if (named) names(pen, edge, side, ink);
  groups(pen, edge, side, ink);
  canvas.setAttribute("aria-label", $("said").textContent);
}

function names(pen, edge, side, ink) {
  const cut = (text) => { while (text.length > 1 && pen.measureText(text).width > edge - 6) text = `${text.replace("…", "").slice(0, -1)}…`; return text; };
  pen.fillStyle = ink;
  data.names.forEach((name, n) => {
    pen.textAlign = "right";
    pen.fillText(cut(name), edge - 4, (n + 0.5) * side);
    pen.save();
    pen.translate(edge + (n + 0.5) * side, side * count + 4);
    pen.rotate(-Math.PI / 2);
    pen.fillText(cut(name), 0, 0);
    pen.restore();
  });
}

/** Boxes around the true groups, where these are known. */
function groups(pen, edge, side, ink) {
  const labels = data.labels || [];
  pen.strokeStyle = "#000";
  pen.lineWidth = 2;
  for (const label of new Set(labels)) {
    const start = labels.indexOf(label), length = labels.lastIndexOf(label) - start + 1;
    pen.strokeRect(edge + start * side, start * side, length * side, length * side);
  }
}

/** What the round shows, in a sentence or three. */
function sentence() {
  const number = choice.rounds[place], curve = (data.curves[choice.method] || {})[choice.seed] || [];
  const known = curve.filter((value) => value !== null), best = Math.max(...known), auc = curve[number - 1];
  let said = `Round ${number}: `;
  if (auc === null || auc === undefined) said += "no AUC.";
  else if (auc === best) said += `AUC ${auc.toFixed(3)}, the best round.`;
  else said += `AUC ${auc.toFixed(3)}; the best is ${best.toFixed(3)} in round ${curve.indexOf(best) + 1}.`;
  if (!cells) return said;
  let most = null, sum = 0, pairs = 0;
  for (let row = 0; row < count; row++)
    for (let column = 0; column < count; column++) {
      if (isOwn(row, column)) continue;
      const value = at(0, row, column), cosine = at(1, row, column);
      if (value !== null && (!most || value > most[0])) most = [value, row, column];
      if (cosine !== null) { sum += cosine; pairs++; }
    }
  if (!most) said += " Nobody takes from others.";
  else if (2 ** most[0] < 1.1) said += " The weights have hardly left the even split.";
  else if (data.block === 1) said += ` Most: ${data.names[most[1]]} takes ${(2 ** most[0]).toFixed(1)} times the even share from ${data.names[most[2]]}.`;
  return pairs ? `${said} Mean cosine of two updates: ${signed(sum / pairs, 2)}.` : said;
}

function make(tag, attributes, parent, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return parent.appendChild(made);
}

/** AUC by round: the chosen method in colour, the round marked. */
function curves() {
  const svg = $("curves"), lines = [];
  svg.replaceChildren();
  for (const [method, seeds] of Object.entries(data.curves)) {
    const own = seeds[choice.seed] || Object.values(seeds)[0];
    if (own.some((value) => value !== null)) lines.push([method, own]);
  }
  svg.setAttribute("aria-label", `Average validation AUC of ${lines.length} methods by round. ${$("said").textContent}`);
  const values = lines.flatMap(([, own]) => own.filter((value) => value !== null));
  const last = Math.max(2, ...lines.map(([, own]) => own.length)), low = Math.min(...values), high = Math.max(...values, low + 0.002);
  const width = Math.max(260, svg.parentNode.clientWidth), right = width - 110;
  svg.setAttribute("viewBox", `0 0 ${width} 240`);
  const x = (round) => 44 + (round - 1) / (last - 1) * (right - 44), y = (auc) => 206 - (auc - low) / (high - low) * 190;
  if (!lines.length) return;
  for (const share of [0, 0.5, 1]) {
    const auc = low + share * (high - low);
    make("line", { x1: 44, x2: right, y1: y(auc), y2: y(auc), stroke: "currentColor", "stroke-opacity": 0.15 }, svg);
    make("text", { x: 38, y: y(auc) + 4, "text-anchor": "end" }, svg, auc.toFixed(3));
  }
  for (const round of new Set([1, Math.round((1 + last) / 2), last])) make("text", { x: x(round), y: 226, "text-anchor": "middle" }, svg, round);
  make("text", { x: right, y: 238, "text-anchor": "end" }, svg, "round");
  const ends = [];
  lines.sort(([a], [b]) => (a === choice.method) - (b === choice.method));
  for (const [method, own] of lines) {
    const chosen = method === choice.method, color = chosen ? data.colors[method] : "#999";
    const points = own.map((auc, r) => auc === null ? null : `${x(r + 1)},${y(auc)}`).filter(Boolean);
    const line = make("polyline", { points: points.join(" "), fill: "none", stroke: color, "stroke-width": chosen ? 3 : 1.3 }, svg);
    make("title", {}, line, method);
    ends.push({ method, chosen, y: y(own.findLast((auc) => auc !== null)) });
  }
  ends.sort((a, b) => b.chosen - a.chosen);
  const placed = [];
  for (const end of ends) {
    if (placed.some((other) => Math.abs(other - end.y) < 13)) continue;
    placed.push(end.y);
    make("text", { x: right + 8, y: end.y + 4, class: end.chosen ? "bold" : "" }, svg, end.method);
  }
  const number = choice.rounds[place], auc = ((data.curves[choice.method] || {})[choice.seed] || [])[number - 1];
  make("line", { id: "marker", x1: x(number), x2: x(number), y1: 10, y2: 208, stroke: "currentColor", "stroke-dasharray": "3 3" }, svg);
  if (auc !== null && auc !== undefined) make("circle", { cx: x(number), cy: y(auc), r: 6, fill: data.colors[choice.method], stroke: "#fff" }, svg);
}

function show() {
  $("number").textContent = choice.rounds[place];
  $("round").setAttribute("aria-valuetext", `round ${choice.rounds[place]}`);
  $("said").textContent = sentence();
  draw(0);
  draw(1);
  curves();
}

/** Read a cell out in words. */
function point(map, event) {
  if (!cells) return;
  const canvas = event.currentTarget, width = canvas.clientWidth, edge = margin(width), side = (width - edge - 2) / count;
  const column = Math.floor((event.offsetX - edge) / side), row = Math.floor(event.offsetY / side);
  if (row < 0 || column < 0 || row >= count || column >= count) return;
  const one = data.names[row], other = data.names[column], value = at(map, row, column);
  let said = `${one} and ${other}: nothing recorded.`;
  if (isOwn(row, column)) said = map ? `${one} with itself.` : `${one} keeps ${Math.round(value * data.steps)} % of its own.`;
  else if (value !== null && map) said = `${one} and ${other}: cosine ${signed(value, 2)}.`;
  else if (value !== null) said = `${one} takes ${(2 ** value).toFixed(2)} times the even share from ${other}.`;
  $("pointed").textContent = said;
}

/** What the colours mean, from red to blue. */
function legend(id, words) {
  $(id).replaceChildren(...words.map((word) => { const made = document.createElement("span"); made.textContent = word; return made; }));
}

if (data.choices.length) {
  const most = Math.round(2 ** data.reach);
  legend("weights-legend", [`1/${most} of it`, "even share", `${most} times`]);
  legend("cosines-legend", ["−1 opposed", "0", "1 the same"]);
  $("controls").hidden = false;
  choose(data.choices[0].method, data.choices[0].seed, data.choices[0].unit);
  $("round").addEventListener("input", () => { place = Number($("round").value); show(); });
  for (const id of ["method", "seed", "unit"])
    $(id).addEventListener("change", () => choose($("method").value, $("seed").value, $("unit").value));
  for (const map of [0, 1])
    for (const type of ["pointermove", "pointerdown"]) $(map ? "cosines" : "weights").addEventListener(type, (event) => point(map, event));
  window.addEventListener("resize", show);
}
