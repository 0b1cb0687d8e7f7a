/*
 * Owns small things about elements: finding those of the document, making others, and writing to them only what has
 * changed, so that a screen reader and the layout have nothing to do each second for nothing.
 */

/**
 * @param {string} id
 * @returns {HTMLElement}
 */
export function element(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the document has no #${id}`);
  return found;
}

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string>} attributes
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/**
 * @param {Element} where
 * @param {string} text
 */
export function write(where, text) {
  if (where.textContent !== text) where.textContent = text;
}

/**
 * One child for each item, in their order: those that are there are kept, so that nobody loses the focus.
 * @template Item
 * @template {HTMLElement} Child
 * @param {Element} where
 * @param {Item[]} items
 * @param {(item: Item) => string} keyOf
 * @param {(item: Item) => Child} makeOf
 * @param {(child: Child, item: Item) => void} update
 */
export function keep(where, items, keyOf, makeOf, update) {
  const before = new Map(Array.from(where.children, (child) => [/** @type {Child} */ (child).dataset.key, /** @type {Child} */ (child)]));
  items.forEach((item, index) => {
    const key = keyOf(item);
    let child = before.get(key);
    before.delete(key);
    if (!child) {
      child = makeOf(item);
      child.dataset.key = key;
    }
    update(child, item);
    if (where.children[index] !== child) where.insertBefore(child, where.children[index] ?? null);
  });
  for (const child of before.values()) child.remove();
}
