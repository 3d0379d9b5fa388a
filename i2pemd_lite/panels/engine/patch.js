// A picture on the page becomes the next one: a mark stays the same element, of which attributes change.
function patch(old, now) {
  const key = (node, i) => node.dataset.k ?? node.nodeName + i;
  const before = new Map([...old.children].map((node, i) => [key(node, i), node]));
  [...now.children].forEach((node, i) => {
    let here = before.get(key(node, i));
    if (here?.nodeName === node.nodeName) {
      before.delete(key(node, i));
      for (const name of here.getAttributeNames()) if (!node.hasAttribute(name)) here.removeAttribute(name);
      for (const { name, value } of node.attributes) if (here.getAttribute(name) !== value) here.setAttribute(name, value);
      if (here.innerHTML !== node.innerHTML) here.replaceChildren(...node.childNodes);
    } else here = node;
    if (old.children[i] !== here) old.insertBefore(here, old.children[i] ?? null);
  });
  for (const node of before.values()) node.remove();
  old.setAttribute("aria-label", now.getAttribute("aria-label"));
}
