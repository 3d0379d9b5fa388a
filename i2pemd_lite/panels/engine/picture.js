// A picture whose bytes come from the kernel, and which tells where it is touched, in parts of its size from the lower left.
function render({ model, el }) {
  const picture = document.createElement("img");
  picture.className = "i2pemd-picture";
  picture.draggable = false;
  el.append(picture);

  Object.assign(picture.style, { width: `${model.get("width")}px`, maxWidth: "100%", display: "block" });
  if (model.get("touchable")) Object.assign(picture.style, { cursor: "crosshair", touchAction: "none" });

  let address = null;
  function show() {
    const before = address;
    address = URL.createObjectURL(new Blob([model.get("value")], { type: "image/png" }));
    // The old picture stays on the page until the new one is decoded, so nothing flickers.
    picture.onload = () => before && URL.revokeObjectURL(before);
    picture.src = address;
  }
  const word = () => (picture.alt = model.get("alt"));

  function place(event) {
    const box = picture.getBoundingClientRect();
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
  picture.addEventListener("pointerdown", (event) => {
    if (!model.get("touchable") || event.button !== 0) return;
    picture.setPointerCapture(event.pointerId);
    began = place(event);
    count = Date.now(); // no other view of this picture counts the same
    tell(event);
    event.preventDefault();
  });
  picture.addEventListener("pointermove", (event) => began && tell(event));
  for (const end of ["pointerup", "pointercancel"]) picture.addEventListener(end, () => (began = null));

  model.on("change:value", show);
  model.on("change:alt", word);
  word();
  show();
  return () => URL.revokeObjectURL(address);
}
export default { render };
