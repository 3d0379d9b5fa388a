// A picture on the page becomes the next one, in which each mark is a line: one that stays as it was is not touched, and
// another keeps its element, of which attributes change.
const written = new WeakMap(); // of a picture: each mark, as it was written, and its element
function patch(old, svg) {
  const [head, ...marks] = svg.split("\n").slice(0, -1);
  const before = written.get(old) ?? new Map();
  const other = `${head}${marks.filter((mark) => !before.has(mark)).join("")}</svg>`;
  const now = new DOMParser().parseFromString(other, "image/svg+xml").documentElement;
  const fresh = [...now.children].filter((node) => node.dataset.k);
  const same = new Set(marks.map((mark) => before.get(mark)));
  const gone = new Map([...old.children].filter((node) => node.dataset.k && !same.has(node)).map((node) => [node.dataset.k, node]));
  const next = new Map(marks.map((mark) => [mark, before.get(mark) ?? become(gone, fresh.shift())]));
  let after = [...old.children].findLast((node) => !node.dataset.k);
  for (const node of next.values()) {
    if (after.nextElementSibling !== node) after.after(node);
    after = node;
  }
  for (const node of gone.values()) node.remove();
  written.set(old, next);
  old.setAttribute("aria-label", now.getAttribute("aria-label"));
  light(old);
}
function become(gone, node) {
  const here = gone.get(node.dataset.k);
  if (here?.nodeName !== node.nodeName) return node;
  gone.delete(node.dataset.k);
  const carried = here.dataset.flow;
  for (const name of here.getAttributeNames()) if (!node.hasAttribute(name)) here.removeAttribute(name);
  for (const { name, value } of node.attributes) if (here.getAttribute(name) !== value) here.setAttribute(name, value);
  if (here.innerHTML !== node.innerHTML) here.replaceChildren(...node.childNodes);
  if (Number(here.dataset.flow) && here.dataset.flow !== carried) run(here);
  return here;
}

// Dots run along a line, from its start to its end.
function run(line) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  const ends = [{ strokeDashoffset: 70, opacity: 1 }, { strokeDashoffset: 0, opacity: 1 }];
  line.animate(ends, { duration: 280, easing: "ease-out" });
}

// With the mark that is pointed at, those are lit whose names are among its own, or hold them; and what it says is said.
function light(svg, key = svg?.dataset.pointed) {
  if (!svg) return;
  const marks = [...svg.querySelectorAll("[data-l]")];
  const pointed = marks.find((mark) => mark.dataset.k === key);
  const names = (mark) => mark?.dataset.l.split(" ") ?? [];
  const within = (some, others) => names(some).every((name) => names(others).includes(name));
  for (const mark of marks) mark.classList.toggle("lit", Boolean(pointed) && (within(mark, pointed) || within(pointed, mark)));
  for (const term of svg.querySelectorAll('[data-k$=" term 0"]')) {
    const own = pointed?.dataset.k.startsWith(term.dataset.k.replace("term 0", "cell"));
    term.textContent = (own && pointed.dataset.t) || "";
  }
  svg.dataset.pointed = pointed ? key : "";
  if (marks.length) svg.tabIndex = 0;
}

// The mouse, a finger or the arrow keys point at the marks of the picture in a frame.
function linked(frame) {
  const svg = () => frame.querySelector("svg");
  const point = (mark) => light(svg(), mark?.dataset.k ?? "");
  frame.addEventListener("pointerover", ({ target }) => svg()?.contains(target) && point(target.closest("[data-l]")));
  frame.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && point(null));
  frame.addEventListener("focusout", () => point(null));
  frame.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    const cells = [...(svg()?.querySelectorAll("[data-t]") ?? [])];
    if (event.target !== svg() || !by || !cells.length) return;
    event.preventDefault();
    const at = cells.findIndex((cell) => cell.dataset.k === svg().dataset.pointed);
    point(cells.at((at + by) % cells.length));
  });
  light(svg());
}
