// Boxes that scroll sideways say so: a line above them, and a fade at the edge that goes away at the
// end (narrow.css draws both). Without this script they scroll all the same.
"use strict";

(() => {
  const BOXES = [
    ".figure-box",
    ".pst-scrollable-table-container",
    ".cell_output > .output",
    ".explorer-numbers > div",
    "div.math mjx-container",
  ].join(", ");

  // A formula's number stands beside it, so the line goes above both.
  const outer = (box) => box.closest("div.math") ?? box;

  function cue() {
    const line = document.createElement("p");
    line.className = "scroll-cue";
    line.textContent = "Scroll sideways for the rest";
    // It is for the eye: other readers have all of the content in any case.
    line.setAttribute("aria-hidden", "true");
    return line;
  }

  function watch(box) {
    const line = cue();
    function look() {
      const beyond = box.scrollWidth - box.clientWidth;
      const over = beyond > 2;
      if (over) outer(box).before(line);
      else line.remove();
      // The keyboard must reach what scrolls, however little; of tables the theme takes care itself.
      if (box.matches(".figure-box")) {
        if (beyond > 0) box.tabIndex = 0;
        else box.removeAttribute("tabindex");
      }
      box.classList.toggle("scroll-more", over && box.scrollLeft < beyond - 2);
    }
    const sizes = new ResizeObserver(look);
    for (const each of [box, ...box.children]) sizes.observe(each);
    box.addEventListener("scroll", look, { passive: true });
  }

  async function start() {
    // Formulas are drawn by a script of their own.
    await window.MathJax?.startup?.promise;
    document.querySelector("article")?.querySelectorAll(BOXES).forEach(watch);
  }

  window.addEventListener("load", start);
})();
