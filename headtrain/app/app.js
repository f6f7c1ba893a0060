"use strict";
// Sends photographs, shows what comes back. Every text goes through textContent: nothing in them is read as HTML.

const TOKEN = document.querySelector('meta[name="amnet-token"]').content;
const area = document.getElementById("area");
const chooser = document.getElementById("photos");
const heads = document.getElementById("head");
const status = document.getElementById("status");
const cards = document.getElementById("cards");
const drops = []; // {number, place: <li> of each photograph}

function element(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

function say(text, wrong) {
  status.textContent = text;
  status.className = wrong ? "wrong" : "";
}

async function ask(method, path, body) {
  const answer = await fetch(path, { method, body, headers: { "X-Amnet-Token": TOKEN } });
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.error);
  return value;
}

let work = Promise.resolve(); // one thing after another
function then(what) {
  work = work.then(what).catch((error) => say(error.message === "Failed to fetch" ? "amnet-head app does not answer any more" : error.message, true));
}

async function take(files) {
  if (!files.length) return;
  const numbers = [];
  for (const [n, file] of files.entries()) {
    say(`sending photograph ${n + 1} of ${files.length}`);
    numbers.push(await ask("PUT", `photo?name=${encodeURIComponent(file.name)}`, file));
  }
  const drop = { number: await ask("POST", "drop", JSON.stringify(numbers)), places: numbers.map(() => element("li", { class: "card" })) };
  drop.places.forEach((place, n) => place.append(element("p", { class: "name" }, files[n].name)));
  drops.unshift(drop);
  cards.prepend(...drop.places);
  await look(drop);
}

async function look(drop) {
  const count = drop.places.length;
  say(`looking at ${count} photograph${count > 1 ? "s" : ""}: some seconds the first time`);
  drop.places.forEach((place) => place.classList.add("waiting"));
  try {
    const found = await ask("POST", "look", JSON.stringify({ head: heads.value, drop: drop.number }));
    found.forEach((one, n) => drop.places[n].replaceChildren(...card(one)));
    say("");
  } finally {
    drop.places.forEach((place) => place.classList.remove("waiting"));
  }
}

function card(one) {
  const name = element("p", { class: "name" }, one.name);
  if (one.score === undefined) return [picture(one), name, element("p", {}, `not scored: ${one.reason}`)];
  const parts = [picture(one), name, element("p", { class: "score" }, one.score.toFixed(3))];
  if (one.percentile !== null) {
    const share = Math.round(one.percentile);
    const bar = element("div", { class: "bar", "aria-hidden": "true" });
    bar.innerHTML = '<svg viewBox="0 0 100 8" preserveAspectRatio="none"><rect height="8" y="0" x="0"/></svg>';
    bar.querySelector("rect").setAttribute("width", share);
    parts.push(bar, element("p", {}, `higher than the scores of ${share} % of the ${one.of}`));
  }
  if (one.maps) parts.push(...attention(one, parts[0]));
  return parts;
}

function picture(one) {
  return one.picture ? element("canvas", { role: "img", "aria-label": one.name }) : element("p", { class: "nothing" }, "cannot be shown");
}

function attention(one, canvas) {
  const note = element("p", {});
  const picks = one.maps.map((_, step) => [`step ${step + 1}: ${one.steps[step] >= 0 ? "+" : ""}${one.steps[step].toFixed(3)}`, step]);
  const buttons = [["photograph", null], ...picks].map(([text, step]) => element("button", { type: "button", "aria-pressed": "false", onclick: () => show(step) }, text));
  function show(step) {
    buttons.forEach((button, n) => button.setAttribute("aria-pressed", String(n === (step === null ? 0 : step + 1))));
    const peak = step === null ? null : Math.max(...one.maps[step]);
    const alike = one.alike ? "it looks everywhere alike; " : "";
    note.textContent = step === null ? `${alike}entropy of the attention ${one.entropy.toFixed(3)}` : `${alike}peak ${peak.toFixed(1)} times an even look`;
    draw(canvas, one, step);
  }
  if (canvas.tagName === "CANVAS") show(one.maps.length ? 0 : null);
  return [element("div", { class: "picks" }, ...buttons), note];
}

async function draw(canvas, one, step) {
  const image = new Image();
  image.src = one.picture;
  await image.decode();
  [canvas.width, canvas.height] = [image.width, image.height];
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  if (step === null) return;
  const [top, left, height, width] = one.box;
  const place = [left * image.width, top * image.height, width * image.width, height * image.height];
  context.fillStyle = "rgba(0, 0, 0, 0.55)";
  context.beginPath();
  context.rect(0, 0, image.width, image.height);
  context.rect(...place);
  context.fill("evenodd"); // what the head does not see
  const [rows, columns] = one.grid;
  const grid = new OffscreenCanvas(columns, rows);
  const small = grid.getContext("2d");
  const pixels = small.createImageData(columns, rows);
  one.maps[step].forEach((times, n) => {
    const share = Math.min(1, Math.log(Math.max(times, 1)) / Math.log(one.top)); // as `attend` and `report` draw it
    pixels.data.set([255, 90 + 130 * share, 20, 215 * Math.sqrt(share)], 4 * n);
  });
  small.putImageData(pixels, 0, 0);
  context.imageSmoothingQuality = "high";
  context.drawImage(grid, ...place);
}

chooser.addEventListener("change", () => {
  const files = [...chooser.files];
  chooser.value = "";
  then(() => take(files));
});
for (const name of ["dragenter", "dragover"]) area.addEventListener(name, (event) => { event.preventDefault(); area.classList.add("over"); });
for (const name of ["dragleave", "drop"]) area.addEventListener(name, (event) => { event.preventDefault(); area.classList.remove("over"); });
area.addEventListener("drop", (event) => {
  const files = [...event.dataTransfer.files];
  then(() => take(files));
});
heads.addEventListener("change", () => then(async () => { for (const drop of drops) await look(drop); }));
then(async () => {
  for (const one of await ask("GET", "heads")) heads.append(element("option", { value: one.name }, one.text));
  say("");
});
