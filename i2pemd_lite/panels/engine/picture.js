// A picture that comes as SVG from the kernel, and tells where it is touched, in parts of its size from the lower left.
// Those of the other places of the slider that a hand is at come beforehand, and are shown as soon as it is moved.

function render({ model, el }) {
  const frame = document.createElement("div");
  const below = document.createElement("div");
  frame.className = "i2pemd-picture";
  el.append(frame, below);
  let drawn = ""; // what is shown
  function show(value) {
    if (value === drawn) return;
    drawn = value;
    const size = frame.firstChild?.getAttribute("viewBox");
    if (size && value.includes(`viewBox="${size}"`)) patch(frame.firstChild, value);
    else {
      const now = new DOMParser().parseFromString(value, "image/svg+xml").documentElement;
      now.style.minWidth = `${0.885 * now.getAttribute("width")}px`; // so that no text is smaller than 11 px
      frame.replaceChildren(now);
    }
    frame.dataset.drawn = 1 + (Number(frame.dataset.drawn) || 0);
  }
  let said = "";
  function say(words) {
    if (words === said) return; // or a screen reader hears it again
    said = words;
    const open = below.querySelector("details")?.open;
    below.innerHTML = words;
    if (open) below.querySelector("details")?.setAttribute("open", "");
  }
  frame.dataset.lmSuppressShortcuts = "true"; // in JupyterLab arrow keys else choose another cell
  if (model.get("touchable")) Object.assign(frame.style, { cursor: "crosshair", touchAction: "none" });

  function place(event) {
    const box = frame.firstChild.getBoundingClientRect();
    const part = (x) => Math.min(Math.max(x, 0), 1);
    return [part((event.clientX - box.left) / box.width), part((box.bottom - event.clientY) / box.height)];
  }
  // While the kernel is busy, messages are merged: so each says where the touch began, and which one it is.
  let began = null;
  function tell(event) {
    model.set("touch", { at: place(event), began, count });
    model.save_changes();
  }
  let count = 0;
  frame.addEventListener("pointerdown", (event) => {
    if (!model.get("touchable") || event.button !== 0) return;
    frame.setPointerCapture(event.pointerId);
    began = place(event);
    count = Date.now(); // no other view of this picture counts the same
    tell(event);
    event.preventDefault();
  });
  frame.addEventListener("pointermove", (event) => began && tell(event));
  for (const end of ["pointerup", "pointercancel"]) frame.addEventListener(end, () => (began = null));

  const ahead = new Map(); // what the kernel has drawn beforehand
  let led = null; // the place of a slider whose picture is shown before the kernel answers
  const answered = () => {
    const [name, at] = model.get("place");
    if (led && led.name === name && led.at !== at) return; // a place where the slider is no more
    show(model.get("value"));
    say(model.get("below"));
  };
  model.on("msg:custom", ({ name, at, value, words }) => (name ? ahead.set(`${name} ${at}`, [value, words]) : ahead.clear()));
  function moved({ target, detail }) {
    if (target.closest(".i2pemd-panel") !== frame.closest(".i2pemd-panel")) return;
    const [name, at] = model.get("place");
    const known = ahead.get(`${detail.name} ${detail.at}`);
    led = null;
    if (name === detail.name && at === detail.at) return answered();
    if (!known) return;
    led = detail;
    show(known[0]);
    say(known[1]);
  }
  document.addEventListener("i2pemd-moved", moved);
  for (const name of ["value", "below"]) model.on(`change:${name}`, answered);
  answered();
  linked(frame);
  return () => document.removeEventListener("i2pemd-moved", moved);
}
export default { render };
