/**
 * What the site, its pages and the element look like: one set of colours, sizes and faces, by day and by night.
 *
 * Blue and orange are those of the paper's Fig. 3: near and far keys. Text on its ground has a contrast of at least 4.5 to 1, what marks a
 * field's edge 3 to 1 (WCAG 2.2 AA).
 *
 * @module
 */

/** Custom properties, as declarations: of `:root` in tokens.css, of `:host` in the element. A page sets others on the element itself. */
export const TOKENS = `color-scheme: light dark;
--ls-ground: light-dark(#f7f5f0, #0e1217);
--ls-panel: light-dark(#ffffff, #161b22);
--ls-well: light-dark(#faf9f6, #0b0f14);
--ls-ink: light-dark(#1a2233, #e7ebf1);
--ls-soft: light-dark(#566072, #a0abba);
--ls-line: light-dark(#e2ded4, #28303a);
--ls-edge: light-dark(#868b95, #6f7b8a);
--ls-near: light-dark(#1c52a5, #86b5ff);
--ls-near-ink: light-dark(#ffffff, #0b1526);
--ls-near-wash: light-dark(#e8eef8, #1b2a40);
--ls-far: light-dark(#ad4d08, #ffa65c);
--ls-heat: 232 119 34;
--ls-bad: light-dark(#b00020, #ff8a94);
--ls-round: .7rem;
--ls-shadow: 0 1px 2px rgb(20 26 40 / .06), 0 6px 24px rgb(20 26 40 / .07);
--ls-sans: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
--ls-mono: ui-monospace, "SF Mono", "Cascadia Code", Menlo, Consolas, monospace;`;

/** Buttons and what is focused, the same in pages and element. */
export const CONTROLS = `
button, .button { font: 600 .95rem/1.2 var(--ls-sans); min-height: 2.75rem; padding: .5rem 1.1rem; border: 1px solid var(--ls-edge);
  border-radius: 99rem; background: var(--ls-panel); color: var(--ls-ink); cursor: pointer; text-decoration: none; display: inline-flex;
  align-items: center; justify-content: center; box-sizing: border-box }
button:hover, .button:hover { border-color: var(--ls-near); color: var(--ls-near) }
.primary { background: var(--ls-near); border-color: var(--ls-near); color: var(--ls-near-ink); min-width: 8rem }
.primary:hover { color: var(--ls-near-ink); filter: brightness(1.12) }
.quiet { min-height: 2.25rem; padding: .3rem .8rem; font-size: .85rem; font-weight: 500; border-color: var(--ls-line) }
:disabled { opacity: .5; cursor: not-allowed; filter: none }
:focus-visible { outline: 3px solid var(--ls-near); outline-offset: 2px }
progress { appearance: none; height: .4rem; border: 0; border-radius: 1rem; overflow: hidden; background: var(--ls-line) }
progress::-webkit-progress-bar { background: var(--ls-line) }
progress::-webkit-progress-value { background: var(--ls-near); border-radius: 1rem; transition: inline-size .3s }
progress::-moz-progress-bar { background: var(--ls-near) }
[hidden] { display: none !important }
@media (prefers-reduced-motion: reduce) { *, ::before, ::after, ::-webkit-progress-value { animation: none !important; transition: none !important } }`;
