"use strict";
// Draws the page from its contents. Every text goes through textContent: nothing in them is read as HTML.

const CONTENTS = JSON.parse(document.getElementById("contents").textContent);
const SVG = "http://www.w3.org/2000/svg";
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "5 2 1 2 1 2"];
const NONE = "–";
let run = CONTENTS.runs[0]; // the one that is shown

// --- small tools -----------------------------------------------------------------------------------------------------

function element(tag, attributes, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function drawn(tag, attributes, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

function fixed(value, digits) {
  return value === null || value === undefined ? NONE : value.toFixed(digits);
}

function signed(value) {
  return value === null || value === undefined ? NONE : `${value >= 0 ? "+" : ""}${value.toFixed(3)}`;
}

function mean(values) {
  const known = values.filter((value) => value !== null && value !== undefined);
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
}

function section(id, title, ...children) {
  return element("section", { id, "aria-labelledby": `${id}-title` }, element("h2", { id: `${id}-title` }, title), ...children);
}

function choice(id, label, options, change) {
  const select = element("select", { id, onchange: () => change(select.value) });
  for (const [value, text] of options) select.append(element("option", { value }, text));
  return element("label", { for: id }, label, " ", select);
}

// A table whose columns sort it: columns of [title, value of a row, text of a value].
function sortable(id, columns, rows) {
  const body = element("tbody");
  const heads = columns.map(([title, value], place) => {
    const head = element("th", { scope: "col", "aria-sort": "none" });
    head.append(element("button", { type: "button", onclick: () => sort(head, value) }, title));
    head.dataset.place = place;
    return head;
  });
  function sort(head, value) {
    const up = head.getAttribute("aria-sort") === "descending";
    heads.forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    show(ordered(rows, value, up));
  }
  function show(list) {
    body.replaceChildren(...list.map((row) => element("tr", {}, ...columns.map(([, value, text]) => element("td", {}, text(value(row)))))));
  }
  show(rows);
  return element("div", { class: "scroll" }, element("table", { id }, element("thead", {}, element("tr", {}, ...heads)), body));
}

// A new list; rows without a value come last either way.
function ordered(rows, value, up) {
  const known = rows.filter((row) => value(row) !== null && value(row) !== undefined);
  const rest = rows.filter((row) => !known.includes(row));
  known.sort((a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0) * (up ? 1 : -1));
  return [...known, ...rest];
}

// --- summary ---------------------------------------------------------------------------------------------------------

// every figure of merit as evaluation/metrics.py describes it; rho stands first, with its interval
const RHO = CONTENTS.metrics.find((metric) => metric.name === "rho");
const MEANS = CONTENTS.metrics.filter((metric) => metric !== RHO);

function summary() {
  const text = (value) => (value === null || value === undefined ? NONE : String(value));
  const of = (name) => (row) => mean(row.splits.map((split) => split[name]));
  const columns = [
    ["run", (row) => row.name, text],
    [RHO.column, (row) => row.rho, (value) => fixed(value, RHO.digits)],
    ["sd", (row) => row.sd, (value) => fixed(value, 3)],
    ["95 % from", (row) => row.low, (value) => fixed(value, 3)],
    ["to", (row) => row.high, (value) => fixed(value, 3)],
    ["splits", (row) => row.splits.length, text],
    ...MEANS.map((metric) => [metric.column, of(metric.name), (value) => fixed(value, metric.digits)]),
    ["best epoch", of("epoch"), (value) => fixed(value, Number.isInteger(value) ? 0 : 1)],
    ["minutes", (row) => row.splits.reduce((sum, split) => sum + (split.seconds || 0), 0) / 60, (value) => fixed(value, 1)],
  ];
  const optimistic = (row) => row.splits.some((split) => split.optimistic);
  if (CONTENTS.runs.some(optimistic)) columns.push(["note", (row) => (optimistic(row) ? "optimistic: epoch chosen on the test list" : ""), text]);
  const notes = CONTENTS.comparisons.map((found) => element("li", {},
    `${found.a} - ${found.b}: rho ${signed(found.difference)}, 95 % ${fixed(found.low, 3)} to ` +
    `${fixed(found.high, 3)}: ${found.real ? "a real difference" : "no difference that these images can show"}`));
  const several = notes.length > 1 ? `; the verdicts are corrected for ${notes.length} comparisons (Holm)` : "";
  const published = CONTENTS.published.map((figure) => element("li", {},
    `${figure.system}: rho ${figure.rho}${figure.mse ? `, MSE ${figure.mse}` : ""}${figure.note ? ` (${figure.note})` : ""}`));
  return section("summary", "Summary", sortable("runs", columns, CONTENTS.runs),
    notes.length ? element("ul", { id: "comparisons" }, ...notes) : null,
    notes.length ? element("p", {}, `Of these trained heads alone: other seeds may differ otherwise${several}.`) : null,
    ...CONTENTS.runs.filter((row) => row.corrected).map((row) => element("p", {}, `${row.name}: ${row.corrected}.`)),
    ...CONTENTS.runs.filter((row) => row.flat).map((row) => element("p", {}, row.flat)),
    CONTENTS.human ? element("p", {}, `Two halves of the observers of ${CONTENTS.data} agree with rho = ${CONTENTS.human}.`) : null,
    CONTENTS.ceiling ? element("p", {}, CONTENTS.ceiling) : null,
    published.length ? element("details", {}, element("summary", {}, `Published figures on ${CONTENTS.data}`), element("ul", {}, ...published)) : null,
    CONTENTS.runs.some((one) => one.splits.length > 1) ? eachSplit() : null);
}

function eachSplit() {
  const columns = [
    ["run", (row) => row.name, String],
    ["split", (row) => row.split, String],
    [RHO.column, (row) => row.rho, (value) => fixed(value, RHO.digits + 1)],
    ["95 % from", (row) => row.low, (value) => fixed(value, 3)],
    ["to", (row) => row.high, (value) => fixed(value, 3)],
    ...MEANS.filter((metric) => metric.each).map((metric) => [metric.column, (row) => row[metric.name], (value) => fixed(value, metric.digits + 1)]),
    ["predictions from", (row) => row.predicted_low, (value) => fixed(value, 2)],
    ["to ", (row) => row.predicted_high, (value) => fixed(value, 2)],
    ["best epoch", (row) => row.epoch, (value) => fixed(value, 0)],
  ];
  const rows = CONTENTS.runs.flatMap((one) => one.splits.map((split) => ({ name: one.name, ...split })));
  return element("details", {}, element("summary", {}, "Each split"), sortable("splits", columns, rows));
}

// --- charts ----------------------------------------------------------------------------------------------------------

const LEFT = 68, BOTTOM = 40, TOP = 12, RIGHT = 12, SIDE = 380;

function ticks(low, high) {
  const step = 10 ** Math.floor(Math.log10((high - low) / 2));
  const wide = [1, 2, 5, 10].map((factor) => factor * step).find((size) => (high - low) / size <= 6);
  const found = [];
  for (let n = Math.ceil(low / wide); n * wide <= high + 1e-9; n += 1) found.push(n * wide);
  return found.map((value) => [value, value.toFixed(Math.max(0, -Math.floor(Math.log10(wide) + 1e-9)))]);
}

// The frame of a chart, and the functions that place values in it. Square: both axes have one scale and one range.
function frame(title, xs, ys, xLabel, yLabel, square = false) {
  const WIDTH = LEFT + RIGHT + (square ? SIDE : 380), HEIGHT = TOP + BOTTOM + (square ? SIDE : 248);
  const range = (values, room) => {
    const low = Math.min(...values), high = Math.max(...values), more = (high - low || 1) * room;
    return [low - more, high + more];
  };
  const both = [...xs, ...ys];
  const [x0, x1] = square ? range(both, 0.03) : range(xs, 0.02), [y0, y1] = square ? [x0, x1] : range(ys, 0.05);
  const x = (value) => LEFT + ((value - x0) / (x1 - x0)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - ((value - y0) / (y1 - y0)) * (HEIGHT - BOTTOM - TOP);
  const svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title });
  for (const [value, text] of ticks(x0, x1)) {
    svg.append(drawn("line", { class: "grid", x1: x(value), x2: x(value), y1: TOP, y2: HEIGHT - BOTTOM }),
      drawn("text", { class: "tick", x: x(value), y: HEIGHT - BOTTOM + 15, "text-anchor": "middle" }, text));
  }
  for (const [value, text] of ticks(y0, y1)) {
    svg.append(drawn("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }),
      drawn("text", { class: "tick", x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, text));
  }
  svg.append(drawn("text", { class: "label", x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, xLabel),
    drawn("text", { class: "label", transform: `translate(13 ${(HEIGHT - BOTTOM + TOP) / 2}) rotate(-90)`, "text-anchor": "middle" }, yLabel));
  return { svg, x, y, ends: [x0, x1] };
}

function curves() {
  if (!run.curves.length) return null;
  const charts = [["val_rho", "validation rho"], ["val_mse", "validation MSE"], ["squared_error", "training squared error"], ["penalty", "attention penalty"]];
  const keys = run.curves.length > 1 ? run.curves.map((curve, n) => element("li", {}, drawn("svg", { viewBox: "0 0 40 10", class: "key" },
    drawn("line", { class: "curve", x1: 0, x2: 40, y1: 5, y2: 5, "stroke-dasharray": DASHES[n % DASHES.length] })), ` split ${curve.split}`)) : [];
  return section("curves", "Training", element("div", { class: "charts" }, ...charts.map(([name, title]) => curveChart(name, title))),
    element("ul", { class: "keys" }, ...keys, element("li", {}, element("span", { class: "dot" }, "●"), " the epoch of the highest validation rho, which is tested")));
}

function curveChart(name, title) {
  const known = run.curves.map((curve) => curve.epochs.filter((epoch) => epoch[name] !== null));
  const all = known.flat();
  if (!all.length) return element("p", {}, `${title}: no figures`);
  const { svg, x, y } = frame(title, all.map((epoch) => epoch.epoch), all.map((epoch) => epoch[name]), "epoch", title);
  known.forEach((epochs, n) => {
    const path = epochs.map((epoch, i) => `${i ? "L" : "M"}${x(epoch.epoch)} ${y(epoch[name])}`).join("");
    svg.append(drawn("path", { class: "curve", d: path, "stroke-dasharray": DASHES[n % DASHES.length] }));
    const best = epochs.filter((epoch) => epoch.best).at(-1);
    if (best) svg.append(drawn("circle", { class: "best", cx: x(best.epoch), cy: y(best[name]), r: 4 }));
  });
  return svg;
}

function scatter() {
  const points = ordered(run.points, (point) => point[0], true);
  if (!points.length) return null;
  const { svg, x, y, ends } = frame("predicted against human scores", points.map((point) => point[0]), points.map((point) => point[1]), "human score", "predicted score", true);
  svg.append(drawn("path", { class: "diagonal", d: `M${x(ends[0])} ${y(ends[0])}L${x(ends[1])} ${y(ends[1])}` }));
  svg.setAttribute("tabindex", "0");
  svg.setAttribute("role", "application");
  svg.setAttribute("aria-label", "predicted against human scores: left and right arrow keys go from image to image");
  const detail = element("div", { id: "detail", "aria-live": "polite" }, element("p", {}, "Point at an image, or use the arrow keys."));
  let at = -1, held = false;
  const circles = points.map((point, n) => drawn("circle", { class: "point", cx: x(point[0]), cy: y(point[1]), r: 3.5,
    onpointerenter: () => held || show(n), onclick: () => { held = !(held && at === n); show(n); } }));
  function show(n) {
    if (at >= 0) circles[at].classList.remove("chosen");
    at = n;
    circles[at].classList.add("chosen");
    const [human, predicted, split, number] = points[at], image = CONTENTS.images[number];
    detail.replaceChildren(picture(image), element("p", {}, element("strong", {}, image.id), ` split ${split}`),
      element("p", {}, `human ${fixed(human, 3)}, predicted ${fixed(predicted, 3)}, error ${signed(predicted - human)}`));
  }
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, PageDown: 20, PageUp: -20 }[event.key];
    if (!step) return;
    event.preventDefault();
    show(Math.min(points.length - 1, Math.max(0, at + step)));
  });
  svg.append(...circles);
  const test = run.splits.reduce((sum, split) => sum + split.n, 0);
  const said = test > points.length ? `${points.length} of ${test} test images.` : `${test} test images.`;
  return section("scatter", "Predicted against human scores", element("p", {}, `${said} On the dashed line both are equal.`),
    element("div", { class: "beside" }, element("div", { class: "chart" }, svg), detail));
}

function picture(image) {
  if (image.src) return element("img", { src: image.src, alt: image.id });
  return element("div", { class: "nothing" }, `no picture: ${image.missing}`);
}

// --- gallery ---------------------------------------------------------------------------------------------------------

const OWN_SCORE = CONTENTS.score_name && CONTENTS.score_name !== "memorability" ? CONTENTS.score_name : null;
const KINDS = [["most", OWN_SCORE ? `highest ${OWN_SCORE}` : "most memorable"], ["least", OWN_SCORE ? `lowest ${OWN_SCORE}` : "least memorable"], ["worst", "worst errors"], ["all", "all of these"]];
const ORDERS = {
  predicted: ["predicted score", (card) => card.predicted],
  human: ["human score", (card) => card.true],
  error: ["size of the error", (card) => Math.abs(card.predicted - card.true)],
  name: ["name", (card) => CONTENTS.images[card.image].id],
};

function gallery() {
  if (!run.gallery.length) return null;
  const steps = Math.max(0, ...run.gallery.map((card) => (card.maps || []).length));
  const state = { kind: "most", order: "predicted", up: false, text: "", step: Math.min(1, steps) };
  const cards = run.gallery.map((card) => new Card(card));
  const list = element("ul", { id: "cards" }), count = element("p", { id: "count", "aria-live": "polite" });
  const said = element("output", { id: "step-said", for: "step" });
  function show() {
    const text = state.text.toLowerCase();
    const shown = cards.filter(({ card }) => (state.kind === "all" || card.kinds.includes(state.kind)) && CONTENTS.images[card.image].id.toLowerCase().includes(text));
    const sorted = ordered(shown, ({ card }) => ORDERS[state.order][1](card), state.up);
    list.replaceChildren(...sorted.map((one) => one.node));
    count.textContent = `${sorted.length} images`;
    said.textContent = state.step ? `step ${state.step}` : "picture alone";
    sorted.forEach((one) => one.draw(state.step));
  }
  const set = (name) => (value) => { state[name] = value; show(); };
  const slider = element("input", { id: "step", type: "range", min: 0, max: steps, step: 1, value: state.step, oninput: () => set("step")(Number(slider.value)) });
  const filter = element("input", { id: "filter", type: "search", placeholder: "part of a name", oninput: () => set("text")(filter.value) });
  const turn = element("button", { id: "turn", type: "button", "aria-pressed": "false", onclick: () => {
    turn.setAttribute("aria-pressed", String(!state.up));
    set("up")(!state.up);
  } }, "lowest first");
  const controls = element("div", { class: "controls" },
    choice("kind", "show", KINDS, (value) => {
      if (value === "worst") sortBy.querySelector("select").value = state.order = "error";
      else if (value !== "all") sortBy.querySelector("select").value = state.order = "predicted";
      state.up = value === "least";
      turn.setAttribute("aria-pressed", String(state.up));
      set("kind")(value);
    }));
  const sortBy = choice("order", "sort by", Object.entries(ORDERS).map(([key, [text]]) => [key, text]), set("order"));
  controls.append(sortBy, turn, element("label", { for: "filter" }, "filter ", filter),
    steps ? element("label", { for: "step" }, "attention ", slider, " ", said) : "");
  show();
  const scale = steps && CONTENTS.scale ? element("p", { id: "scale" }, `Attention, ${CONTENTS.scale}.`) : null;
  return section("gallery", "What the head says and sees", controls, scale, count, list);
}

class Card {
  constructor(card) {
    this.card = card;
    this.image = CONTENTS.images[card.image];
    this.canvas = element("canvas", { role: "img", "aria-label": this.image.id });
    this.bars = (card.steps || []).map((value) => element("li", { title: "step score" }, signed(value)));
    this.said = element("p", { class: "attention" });
    const error = card.predicted - card.true;
    this.node = element("li", { class: "card" }, this.canvas, this.image.src ? null : element("p", { class: "nothing" }, `no picture: ${this.image.missing}`),
      element("p", { class: "name" }, this.image.id, run.splits.length > 1 ? element("span", { class: "split" }, ` split ${card.split}`) : ""),
      element("p", {}, `predicted ${fixed(card.predicted, 3)}, human ${fixed(card.true, 3)}, error ${signed(error)}`),
      element("ol", { class: "steps" }, ...this.bars), (card.peaks || []).length ? this.said : null);
    this.picture = null;
    this.step = 0;
  }

  draw(step) {
    this.step = step;
    this.bars.forEach((bar, n) => bar.classList.toggle("now", n + 1 === step));
    this.said.textContent = this.told(step);
    if (this.picture || !this.image.src) {
      this.paint();
      return;
    }
    this.picture = new Image();
    this.picture.addEventListener("load", () => this.paint());
    this.picture.src = this.image.src;
  }

  // How far from chance the attention of a step is; of the picture alone, of the step that is farthest.
  told(step) {
    const { peaks = [], entropies = [], alike = [] } = this.card;
    if (!peaks.length) return "";
    const n = step ? step - 1 : entropies.indexOf(Math.min(...entropies));
    return `step ${n + 1}: peak ${fixed(peaks[n], 1)} times chance, entropy ${fixed(entropies[n], 3)}${alike[n] ? ", looks everywhere alike" : ""}`;
  }

  paint() {
    if (this.picture && !this.picture.naturalWidth) return; // it has not come yet
    const { canvas, image } = this, source = this.picture || grey(image), map = (this.card.maps || [])[this.step - 1];
    canvas.width = source.naturalWidth || source.width;
    canvas.height = source.naturalHeight || source.height;
    const pen = canvas.getContext("2d");
    pen.drawImage(source, 0, 0);
    canvas.dataset.step = this.step;
    if (!map) return;
    const [top, left, height, width, flip] = this.card.box;
    pen.fillStyle = "rgba(0, 0, 0, 0.45)";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.save();
    pen.translate(left * canvas.width, top * canvas.height);
    pen.scale(width * canvas.width, height * canvas.height);
    pen.drawImage(source, left * canvas.width, top * canvas.height, width * canvas.width, height * canvas.height, 0, 0, 1, 1);
    if (flip) { // the view was mirrored: its map is mirrored back
      pen.translate(1, 0);
      pen.scale(-1, 1);
    }
    pen.imageSmoothingQuality = "high";
    pen.drawImage(heat(map, this.card.grid), 0, 0, 1, 1);
    pen.restore();
  }
}

// What stands for a picture that is not there.
function grey(image) {
  const scale = 256 / Math.max(image.width, image.height, 1);
  const canvas = element("canvas", { width: Math.max(1, Math.round(image.width * scale)), height: Math.max(1, Math.round(image.height * scale)) });
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#888";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  return canvas;
}

// A map in base64, a byte a location, as a small canvas in the colours of heat; low weights leave the picture visible.
function heat(map, grid) {
  const codes = Uint8Array.from(atob(map), (letter) => letter.charCodeAt(0));
  const side = Math.round(Math.sqrt(codes.length));
  const [height, width] = grid || [side, side];
  const canvas = element("canvas", { width, height });
  const pen = canvas.getContext("2d"), pixels = pen.createImageData(width, height);
  codes.forEach((code, n) => pixels.data.set([Math.min(255, 90 + code), Math.max(0, 1.6 * code - 150), 60 - code / 5, Math.min(210, 1.4 * code)], 4 * n));
  pen.putImageData(pixels, 0, 0);
  return canvas;
}

// --- configuration ---------------------------------------------------------------------------------------------------

function configuration() {
  const rows = run.settings.map((one) => element("tr", { class: one.mark ? "departs" : null }, element("td", {}, one.mark), element("th", { scope: "row" }, one.name),
    element("td", {}, one.value), element("td", {}, one.paper), element("td", {}, one.source)));
  const head = element("tr", {}, ...["", "setting", "value", "paper", "source"].map((text) => element("th", { scope: "col" }, text)));
  const origin = Object.entries(run.provenance).flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]);
  return section("configuration", "Configuration and provenance", element("dl", {}, ...origin),
    rows.length ? element("details", {}, element("summary", {}, "Settings (* not as in the paper, ** not as in the preset)"),
      element("div", { class: "scroll" }, element("table", { id: "settings" }, element("thead", {}, head), element("tbody", {}, ...rows)))) : null);
}

// --- the page --------------------------------------------------------------------------------------------------------

function showRun() {
  document.getElementById("run").replaceChildren(...[scatter(), gallery(), curves(), configuration()].filter((part) => part !== null));
}

function begin() {
  const main = document.getElementById("main");
  document.getElementById("made").textContent = `amnet ${CONTENTS.version}, ${CONTENTS.made}${CONTENTS.data ? `, images of ${CONTENTS.data}` : ""}`;
  if (CONTENTS.missing) main.append(element("p", { id: "missing", role: "note" },
    `${CONTENTS.missing} of ${CONTENTS.images.length} pictures are not shown, such as ${CONTENTS.images.find((image) => image.missing).id}: ` +
    `${CONTENTS.images.find((image) => image.missing).missing}. amnet-head report --images says where the image files are.`));
  main.append(summary());
  if (CONTENTS.runs.length > 1) main.append(element("p", { class: "controls" }, choice("which", "run shown below", CONTENTS.runs.map((one, n) => [n, one.name]), (n) => {
    run = CONTENTS.runs[n];
    showRun();
  })));
  main.append(element("div", { id: "run" }));
  showRun();
}

begin();
