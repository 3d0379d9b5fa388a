// Panels of a page without a kernel: their controls show the pictures that were recorded (`moving.py`).
let count = 0;
async function move(panel) {
  const { controls, packed } = JSON.parse(panel.querySelector("script").textContent);
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const { head, marks, frames } = await new Response(unpacked).json();
  const order = Object.keys(marks);
  const base = controls.map((control) => control.at);
  const states = Object.keys(frames).map((name) => {
    const places = [...base];
    for (const pair of name ? name.split(",") : []) places[pair.split(":")[0]] = Number(pair.split(":")[1]);
    return { name, places };
  });
  const inputs = controls.map((control, n) => {
    const box = Object.assign(document.createElement("div"), { className: `i2pemd-control${control.bare ? " bare" : ""}` });
    const input = Object.assign(document.createElement(control.list ? "select" : "input"), { id: `i2pemd-${++count}` });
    const value = document.createElement("output");
    const none = (i) => states.every(({ places }) => places[n] !== i);
    const option = (words, i) => Object.assign(new Option(words + (none(i) ? " (not on this page)" : ""), i), { disabled: none(i) });
    box.classList.toggle("i2pemd-wide", control.list && control.words.some((words) => words.length > 36)); // `choice`
    if (control.list) input.append(...control.words.map(option));
    else Object.assign(input, { type: "range", min: 0, max: control.words.length - 1, step: 1 });
    box.append(Object.assign(document.createElement("label"), { textContent: control.label, htmlFor: input.id }), input);
    if (!control.list) box.append(value);
    if (control.plays) box.append(player(input, control.label, (place) => go(n, place)).buttons);
    input.addEventListener("input", () => go(n, Number(input.value)));
    return { box, input, value };
  });
  const still = states.find((state) => !state.name);
  const reset = Object.assign(document.createElement("button"), { textContent: "Reset", type: "button" });
  reset.addEventListener("click", () => show(still));
  const grid = (some) => {
    const box = Object.assign(document.createElement("div"), { className: "i2pemd-controls" });
    const cells = Object.assign(document.createElement("div"), { className: "i2pemd-cells" });
    for (const each of some) (each.box.classList.contains("bare") ? cells : box).append(each.box);
    if (cells.children.length) box.append(cells);
    return box;
  };
  const some = (first) => inputs.filter((_, n) => controls[n].moves && controls[n].first === first);
  const more = document.createElement("details");
  more.append(Object.assign(document.createElement("summary"), { textContent: "more" }), grid(some(false)));
  if (controls.some((control) => control.moves)) panel.prepend(grid(some(true)), more, reset);

  // Not every state was recorded: of those that lie where a control was moved to, or on the way there, the one is shown
  // in which the others stay most as they were.
  let shown = still.places;
  function go(moved, place) {
    const before = shown[moved];
    const way = controls[moved].list ? (at) => at === place : (at) => (place > before ? at > before : at < before);
    const away = ({ places }) =>
      places.reduce((sum, at, n) => {
        if (n === moved) return sum + Math.abs(at - place) / 1000;
        return sum + (controls[n].list ? Number(at !== shown[n]) : Math.abs(at - shown[n]) / controls[n].words.length);
      }, 0);
    const there = states.filter(({ places }) => way(places[moved]));
    show(there.length ? there.reduce((a, b) => (away(b) < away(a) ? b : a)) : states.find((each) => each.places === shown), moved);
  }
  function show({ name, places }, moved) {
    const [changed, now, below, on] = frames[name];
    const others = controls.filter((_, n) => moved !== undefined && n !== moved && on.includes(n) && places[n] !== shown[n]);
    shown = places;
    const lines = (now ?? order).map((key) => changed[key] ?? marks[key]);
    patch(panel.querySelector("svg"), [head, ...lines, "</svg>"].join("\n"));
    const note = panel.querySelector(".i2pemd-below");
    const open = note.querySelector("details")?.open;
    note.outerHTML = below;
    if (others.length) {
      const went = `This page does not have every combination, so another control moved too: ${others.map((each) => each.label).join(", ")}.`;
      panel.querySelector(".i2pemd-below .caption").prepend(Object.assign(document.createElement("b"), { textContent: `${went} ` }));
    }
    if (open) panel.querySelector(".i2pemd-below details")?.setAttribute("open", "");
    panel.querySelector("svg").setAttribute("aria-label", panel.querySelector("[role=status]").textContent);
    more.style.display = on.some((n) => more.contains(inputs[n].box)) ? "" : "none";
    inputs.forEach(({ box, input, value }, n) => {
      box.style.display = on.includes(n) ? "" : "none";
      const words = controls[n].words[places[n]];
      input.value = places[n];
      input.setAttribute("aria-valuetext", words);
      value.textContent = controls[n].list ? "" : words;
    });
  }
  show(still);
  linked(panel);
  panel.classList.add("i2pemd-moving");
}
for (const panel of document.querySelectorAll(".i2pemd-moves")) move(panel);
