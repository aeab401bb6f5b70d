"""How the page looks and its one interaction, choosing a method; no network, works without the script."""

CSS = """
:root { color-scheme: light dark; --paper: #fbfbfa; --card: #ffffff; --ink: #1d2125; --quiet: #656d76; --line: #d9dce0;
  --best: #e3f1e6; --best-ink: #14602d; --focus: #2f7fd0; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --card: #1c2024; --ink: #e4e6e8; --quiet: #9aa3ac;
  --line: #363c43; --best: #1c3a26; --best-ink: #9ee0b2; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .5rem; }
p { margin: .4rem 0; max-width: 80ch; }
.notes p { max-width: 100ch; }
.quiet, figcaption, .notes { color: var(--quiet); font-size: .86rem; }
.lead { font-size: 1.05rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; width: 100%; }
th, td { padding: .38rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; color: var(--quiet); font-size: .8rem; line-height: 1.25; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--paper); }
td:first-child { font-weight: 600; }
td.best { background: var(--best); color: var(--best-ink); font-weight: 700; }
.swatch { display: inline-block; vertical-align: middle; margin-right: .45rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1.2rem;
  align-items: start; }
.pair > * { min-width: 0; }
.plot { margin: 0; }
.plot svg { display: block; width: 100%; height: auto; overflow: visible; }
.plot svg text { font-family: inherit !important; }
.chosen-other { opacity: .45; }
.chosen path { stroke-width: 2.6px !important; }
.chips { position: sticky; top: 0; z-index: 2; background: var(--paper); padding: .6rem 0; display: flex; flex-wrap: wrap;
  gap: .4rem; border-bottom: 1px solid var(--line); margin-top: 2.2rem; }
.chips button { font: inherit; font-size: .88rem; color: inherit; background: var(--card); border: 1px solid var(--line);
  border-radius: 999px; padding: .25rem .8rem; cursor: pointer; }
.chips button[aria-pressed="true"] { border-color: currentColor; font-weight: 700; }
.chips button:focus-visible { outline: 2px solid var(--focus); outline-offset: 1px; }
.cards { display: grid; gap: .8rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .8rem; display: flex;
  flex-wrap: wrap; gap: .8rem; align-items: flex-start; }
figure { margin: 0; }
.card figure.query { width: 190px; }
.cards.bare { grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); }
.neighbours { display: grid; grid-template-columns: repeat(5, minmax(0, 160px)); gap: .6rem; flex: 1 1 300px;
  border-left: 3px solid var(--line);
  padding-left: .8rem; }
.card img, .placeholder { display: block; width: 100%; border-radius: 5px; background: var(--line); }
.placeholder { aspect-ratio: 4 / 3; display: grid; place-items: center; text-align: center; font-size: .78rem;
  color: var(--quiet); padding: .4rem; }
.card figcaption { margin-top: .25rem; line-height: 1.3; font-size: .8rem; overflow-wrap: anywhere; }
.card .query figcaption { color: var(--ink); font-size: .86rem; }
.card figcaption span { color: var(--quiet); font-size: .74rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; font-size: .88rem; margin: 0; }
dt { color: var(--quiet); }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 640px) {
  .neighbours { grid-template-columns: repeat(3, 1fr); }
  .card figure.query { width: 100%; display: flex; gap: .8rem; }
  .card figure.query > :first-child { width: 55%; }
  .neighbours { border-left: 0; padding-left: 0; flex-basis: 100%; }
  .cards.bare { grid-template-columns: 1fr; }
  .chips { flex-wrap: nowrap; overflow-x: auto; } .chips button { white-space: nowrap; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; }
}
@media print { .chips { position: static; } .card { break-inside: avoid; } }
"""

SCRIPT = """
(function () {
  var buttons = document.querySelectorAll('.chips button');
  function choose(wanted) {
    buttons.forEach(function (button) { button.setAttribute('aria-pressed', String(button.dataset.method === wanted)); });
    document.querySelectorAll('.panel').forEach(function (panel) { panel.hidden = panel.dataset.method !== wanted; });
    document.querySelectorAll('[id*="-curve-"]').forEach(function (curve) {
      var chosen = curve.id.endsWith('-curve-' + wanted);
      curve.classList.toggle('chosen', chosen);
      curve.classList.toggle('chosen-other', !chosen && buttons.length > 4);
    });
  }
  buttons.forEach(function (button) { button.addEventListener('click', function () { choose(button.dataset.method); }); });
  var chips = document.querySelector('.chips');
  if (chips) { chips.hidden = false; choose(chips.dataset.first); }
})();
"""
