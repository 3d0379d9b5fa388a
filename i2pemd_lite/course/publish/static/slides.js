// Keys: right, space or page down go on (first what waits on this slide), left or page up back, Home, End, N the notes.
const slides = [...document.querySelectorAll("main > section")];
for (const slide of slides) {
  const sheet = document.createElement("div");
  sheet.className = "sheet";
  sheet.append(...[...slide.childNodes].filter(part => part.className !== "notes"));
  slide.prepend(sheet);
}
const waiting = slide => [...slide.querySelectorAll(".fragment:not(.shown)")];
let at = 0;

function show(number, all) {
  at = Math.max(0, Math.min(slides.length - 1, number));
  slides.forEach((slide, n) => slide.classList.toggle("now", n === at));
  if (all) waiting(slides[at]).forEach(part => part.classList.add("shown"));
  document.querySelector("footer").textContent = `${at + 1} / ${slides.length} · ${document.title}`;
  history.replaceState(null, "", `#${at + 1}`);
  fit();
}

function fit() { // what is taller or wider than the window is drawn smaller, above the notes where these are shown
  const [sheet, notes] = slides[at].children;
  Object.assign(sheet.style, { transform: "", marginTop: "" });
  const room = slides[at].clientHeight - (notes?.offsetHeight ?? 0);
  const scale = Math.min(innerWidth / 1100, room / sheet.scrollHeight, 1.6);
  const spare = Math.max(0, (room - scale * sheet.scrollHeight) / 3);
  Object.assign(sheet.style, { transform: `scale(${scale})`, marginTop: `${spare}px` });
}

function next() {
  const [part] = waiting(slides[at]);
  if (part) part.classList.add("shown");
  else if (at < slides.length - 1) show(at + 1);
}

const own = ".i2pemd-controls, .i2pemd-moves button, .i2pemd-moves summary"; // what answers by itself
addEventListener("keydown", event => {
  if (event.target.closest?.(own)) return;
  if (["ArrowRight", " ", "PageDown"].includes(event.key)) next();
  else if (["ArrowLeft", "PageUp"].includes(event.key)) show(at - 1, true);
  else if (event.key === "Home") show(0);
  else if (event.key === "End") show(slides.length - 1, true);
  else if (event.key.toLowerCase() === "n") { document.body.classList.toggle("notes"); fit(); }
  else return;
  event.preventDefault();
});
addEventListener("click", event => { if (!event.target.closest(`a, summary, ${own}`)) next(); });
addEventListener("resize", fit);
addEventListener("load", () => show((parseInt(location.hash.slice(1)) || 1) - 1));
