// Colours that the plots share with the page, read from its stylesheet so that both follow light and dark.

const dark = matchMedia("(prefers-color-scheme: dark)");

/** Calls back whenever light and dark change. */
export const onTheme = (call) => dark.addEventListener("change", call);

export const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** The colours of now. */
export function colours() {
  const style = getComputedStyle(document.documentElement);
  const named = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    text: named("text"), quiet: named("quiet"), line: named("line"), ground: named("ground"),
    accent: named("accent"), raw: named("raw"), fixed: named("fixed"), walk: named("walk"), near: named("near"), shade: named("shade"),
  };
}

/** What every plot has in common. */
export function layout(more) {
  const { text, ground, line } = colours();
  return {
    paper_bgcolor: ground, plot_bgcolor: ground, font: { color: text, family: "system-ui, sans-serif", size: 12 },
    margin: { l: 48, r: 12, t: 8, b: 64 }, hovermode: "closest", showlegend: true,
    legend: { orientation: "h", xref: "container", yref: "container", y: 0, yanchor: "bottom", x: 0, bgcolor: "rgba(0,0,0,0)", itemsizing: "constant" },
    hoverlabel: { bgcolor: ground, bordercolor: line, font: { color: text } },
    ...more,
  };
}

export const CONFIG = { displaylogo: false, scrollZoom: true, displayModeBar: false };
