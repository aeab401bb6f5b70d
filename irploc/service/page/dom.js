// Elements in a line.

/** An element with attributes (on… are listeners) and children, which are elements or text; null children are left out. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return made;
}

/** A table of names and values; rows whose value is undefined are left out. */
export function facts(rows) {
  const shown = rows.filter(([, value]) => value !== undefined);
  return element("dl", { class: "facts" }, shown.map(([name, value]) => [element("dt", {}, name), element("dd", {}, value ?? "not known")]));
}
