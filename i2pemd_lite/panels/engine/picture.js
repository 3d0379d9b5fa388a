// A picture that comes as SVG from the kernel, and tells where it is touched, in parts of its size from the lower left.

function render({ model, el }) {
  const frame = document.createElement("div");
  const below = document.createElement("div");
  frame.className = "i2pemd-picture";
  el.append(frame, below);
  function show() {
    const value = model.get("value");
    const size = frame.firstChild?.getAttribute("viewBox");
    if (size && value.includes(`viewBox="${size}"`)) patch(frame.firstChild, value);
    else {
      const now = new DOMParser().parseFromString(value, "image/svg+xml").documentElement;
      now.style.minWidth = `${0.885 * now.getAttribute("width")}px`; // so that no text is smaller than 11 px
      frame.replaceChildren(now);
    }
    frame.dataset.drawn = 1 + (Number(frame.dataset.drawn) || 0);
  }
  function say() {
    const open = below.querySelector("details")?.open;
    below.innerHTML = model.get("below");
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

  model.on("change:value", show);
  model.on("change:below", say);
  show();
  say();
  linked(frame);
}
export default { render };
