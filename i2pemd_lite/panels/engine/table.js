// A table: one row is chosen, some are ticked, each has a note and can be deleted; what is asked goes as a message.

function render({ model, el }) {
  const make = (kind, look, ...inside) => {
    const made = Object.assign(document.createElement(kind), look);
    made.append(...inside);
    return made;
  };
  const group = `i2pemd-${Math.random().toString(36).slice(2)}`;
  const head = make("tr"), body = make("tbody"), rows = new Map();
  const log = make("ul"), count = make("summary"), said = make("output"), text = make("textarea", { readOnly: true, rows: 4 });
  const press = (words, look) => make("button", { className: "jupyter-button", textContent: words, ...look });
  const keep = press("Keep it", { value: "keep", autofocus: true }), remove = press("Delete it", { value: "delete" });
  const question = make("p"), form = make("form", { method: "dialog" }, question, keep, " ", remove);
  const dialog = make("dialog", { ariaLabel: "Delete a run" }, form);
  const copies = model.get("copies").map((kind) => {
    const button = press(kind);
    button.addEventListener("click", () => model.send({ do: "copy", text: kind }));
    return button;
  });
  text.ariaLabel = "what was copied";
  text.hidden = true;
  el.dataset.lmSuppressShortcuts = "true"; // in JupyterLab arrow keys else choose another cell
  const list = make("table", { ariaLabel: model.get("description") }, make("thead", {}, head), body);
  const scrolls = make("div", { className: "rows" }, list);
  el.append(scrolls, make("details", {}, count, log), make("div", {}, ...copies, said), text, dialog);

  function set(name, value) {
    model.set(name, value);
    model.save_changes();
  }
  function begin(name) {
    const chosen = make("input", { type: "radio", name: group }), label = make("label", {}, chosen, name);
    const tick = make("input", { type: "checkbox", ariaLabel: `compare ${name}` });
    const note = make("input", { type: "text", ariaLabel: `note on ${name}`, maxLength: 300 });
    const gone = press("Delete", { ariaLabel: `delete ${name}` });
    const first = make("th", { scope: "row" }, label), last = [make("td", {}, note), make("td", {}, gone)];
    chosen.addEventListener("change", () => set("value", name));
    tick.addEventListener("change", () => {
      const others = model.get("ticked").filter((each) => each !== name);
      set("ticked", tick.checked ? [...others, name] : others);
    });
    note.addEventListener("change", () => model.send({ do: "note", name, text: note.value }));
    gone.addEventListener("click", () => {
      question.textContent = rows.get(name).deletes;
      dialog.returnValue = "keep"; // what Escape leaves
      dialog.onclose = () => dialog.returnValue === "delete" && model.send({ do: "delete", name });
      dialog.showModal();
    });
    return { tr: make("tr", {}, first, make("td", {}, tick), ...last), chosen, tick, note, gone, cells: [] };
  }
  function fill(row, { cells, note, deletes }) {
    while (row.cells.length > cells.length) row.cells.pop().remove();
    while (row.cells.length < cells.length) {
      row.cells.push(make("td"));
      row.tr.append(row.cells.at(-1));
    }
    cells.forEach((words, i) => row.cells[i].textContent !== words && (row.cells[i].textContent = words));
    if (row.note !== document.activeElement) row.note.value = note; // what is being typed is not written over
    row.gone.disabled = !deletes;
    row.deletes = deletes;
  }
  function show() {
    const given = model.get("rows"), lines = model.get("log");
    head.replaceChildren(...model.get("heads").map((words) => make("th", { scope: "col", textContent: words })));
    for (const [name, { tr }] of rows)
      if (!given.some((each) => each.name === name)) {
        const here = tr.contains(document.activeElement);
        rows.delete(name);
        tr.remove();
        if (here) body.querySelector("input")?.focus();
      }
    given.forEach((each, i) => {
      if (!rows.has(each.name)) rows.set(each.name, begin(each.name));
      const row = rows.get(each.name);
      if (body.children[i] !== row.tr) body.insertBefore(row.tr, body.children[i] ?? null);
      fill(row, each);
      row.chosen.checked = each.name === model.get("value");
      row.tick.checked = model.get("ticked").includes(each.name);
    });
    count.textContent = `Log of changes (${lines.length})`;
    log.replaceChildren(...lines.map((words) => make("li", { textContent: words })));
    for (const each of [list, ...copies]) each.hidden = !given.length;
    count.parentElement.hidden = !lines.length;
  }
  model.on("msg:custom", async (message) => {
    text.hidden = false;
    text.value = message.text;
    if (message.file) {
      const href = URL.createObjectURL(new Blob([message.text], { type: "text/csv" }));
      make("a", { href, download: message.file }).click();
      said.textContent = ` Your browser saves it as ${message.file}, or asks you where.`;
      return URL.revokeObjectURL(href);
    }
    try {
      await navigator.clipboard.writeText(message.text);
      said.textContent = " It is in the clipboard.";
    } catch {
      text.select(); // a page that may not write to the clipboard
      said.textContent = " Press Ctrl+C in the field below to copy it.";
    }
  });
  for (const name of ["rows", "heads", "log", "value", "ticked"]) model.on(`change:${name}`, show);
  show();
}
export default { render };
