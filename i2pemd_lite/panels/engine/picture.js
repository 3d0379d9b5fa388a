// A picture that comes as SVG from the kernel, and tells where it is touched, in parts of its size from the lower left.

function render({ model, el }) {
  const frame = document.createElement("div");
  frame.className = "i2pemd-picture";
  el.append(frame);
  function show() {
    const now = new DOMParser().parseFromString(model.get("value"), "image/svg+xml").documentElement;
    now.style.cssText = `display:block;width:100%;height:auto;min-width:${now.getAttribute("width")}px`;
    const shown = frame.firstChild;
    if (shown?.getAttribute("viewBox") === now.getAttribute("viewBox")) patch(shown, now);
    else frame.replaceChildren(now);
    frame.dataset.drawn = 1 + (Number(frame.dataset.drawn) || 0);
  }
  Object.assign(frame.style, { maxWidth: "1600px", overflowX: "auto" });
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
  show();
}
export default { render };
