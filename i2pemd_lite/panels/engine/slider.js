// A slider with its name, and a field in which its number can be typed, or what it says.

function render({ model, el }) {
  const stops = () => model.get("words");
  const make = (kind, look) => Object.assign(document.createElement(kind), look);
  const range = make("input", { type: "range", id: `i2pemd-${Math.random().toString(36).slice(2)}` });
  const label = make("label", { htmlFor: range.id, textContent: model.get("description") });
  const said = stops() ? make("output") : make("input", { type: "text", inputMode: "decimal" });
  if (!stops()) said.setAttribute("aria-label", model.get("description") + (model.get("bare") ? "" : ", as a number"));
  el.classList.add("i2pemd-control");
  range.dataset.lmSuppressShortcuts = "true"; // in JupyterLab arrow keys else choose another cell
  el.classList.toggle("bare", Boolean(model.get("bare")));
  el.append(...(model.get("bare") ? [label, said] : [label, range, said]));

  let typing = false; // what is being typed is not written over
  const place = () => (stops() ? model.get("index") : model.get("value"));
  const words = () => (stops() ? stops()[place()] : place().toFixed(model.get("digits")));
  function show() {
    const ends = stops() ? { min: 0, max: stops().length - 1, step: 1 } : {};
    for (const name of ["min", "max", "step"]) range[name] = ends[name] ?? model.get(name);
    range.value = place();
    range.setAttribute("aria-valuetext", words());
    range.disabled = said.disabled = model.get("disabled");
    if (stops()) said.textContent = words();
    else if (!model.get("wrong") && !typing) said.value = words();
    said.setAttribute("aria-invalid", Boolean(model.get("wrong")));
  }
  function move(to) {
    model.set(stops() ? "index" : "value", to);
    model.save_changes();
    show();
  }
  range.addEventListener("input", () => move(Number(range.value)));
  function type() {
    typing = false;
    model.set("typed", said.value || " ");
    model.save_changes();
  }
  said.addEventListener("input", () => (typing = true));
  said.addEventListener("change", type);
  said.addEventListener("blur", () => {
    if (!typing) return;
    typing = false;
    show();
  });
  said.addEventListener("keydown", (event) => event.key === "Enter" && type());

  if (model.get("plays")) {
    const { buttons, anew } = player(range, model.get("description"), move);
    el.append(buttons);
    model.on("change:films", anew);
  }
  for (const name of ["value", "index", "min", "max", "step", "words", "disabled", "wrong"]) model.on(`change:${name}`, show);
  show();
}
export default { render };
