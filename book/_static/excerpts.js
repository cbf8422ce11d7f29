// Search results show where a word stands. Sphinx's own excerpts hold raw mathematics and folded
// code, and begin with the page wherever a word was searched for by its stem.
"use strict";

(() => {
  const LENGTH = 240;
  const LEFT_OUT =
    ".headerlink, script, style, button, .cell_input, .above-input, .figure-data, .explorer";
  const BLOCKS = "h1, h2, h3, h4, p, li, td, th, dt, pre, br, summary";

  // A formula as words where it is nothing but letters and signs, else three dots.
  function said(formula) {
    const tex = formula.textContent.replace(/^\s*(\\\(|\\\[)|(\\\)|\\\])\s*$/g, "");
    return /^[\w\s=+<>,.-]+$/.test(tex) ? tex : "…";
  }

  // What a reader of the page, or of the part of it that `anchor` names, would read.
  function plain(html, anchor) {
    const page = new DOMParser().parseFromString(html, "text/html");
    const article = page.querySelector("article") ?? page.querySelector("[role=main]");
    const part = (anchor && page.getElementById(anchor.slice(1))) || article;
    // The result's link says the heading.
    part.querySelector("h1, h2, h3")?.remove();
    for (const each of part.querySelectorAll(LEFT_OUT)) each.remove();
    for (const each of part.querySelectorAll(".math")) each.textContent = said(each);
    for (const each of part.querySelectorAll(BLOCKS)) each.after(" ");
    return part.textContent.replace(/\s+/g, " ").trim();
  }

  // `text` around what was searched for, as one or else its first word there, cut between words.
  function excerpt(text) {
    const low = text.toLowerCase();
    const asked = new URLSearchParams(location.search).get("q").trim().toLowerCase();
    const words = (asked.match(/[\p{L}\p{N}_]+/gu) ?? []).map((word) => low.indexOf(word));
    const places = words.filter((at) => at >= 0).sort((a, b) => a - b);
    const middle = low.includes(asked) ? low.indexOf(asked) : (places[0] ?? 0);
    const from = middle < LENGTH / 2 ? 0 : text.indexOf(" ", middle - LENGTH / 2) + 1;
    const rest = text.length - from <= LENGTH;
    const to = rest ? text.length : text.lastIndexOf(" ", from + LENGTH);
    return `${from ? "… " : ""}${text.slice(from, to)}${rest ? "" : " …"}`;
  }

  // Before Sphinx's search begins, which is loaded on one page only.
  document.addEventListener("DOMContentLoaded", () => {
    if (typeof Search === "undefined") return;
    // A page that was opened as a file may not read the others.
    DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = location.protocol !== "file:";
    Search.makeSearchSummary = (html, _, anchor) => {
      const shown = document.createElement("p");
      shown.className = "context";
      shown.textContent = excerpt(plain(html, anchor));
      return shown;
    };
  });
})();
