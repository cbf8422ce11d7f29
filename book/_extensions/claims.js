// The table of claims: sorted and filtered as a reader chooses, by what each row is marked as.
"use strict";

(() => {
  const form = document.querySelector(".claim-filters");
  const table = document.querySelector("table.claims");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const KEYS = { verdict: "word", claim: "number" };

  const place = (row, kind) => Number(row.className.match(new RegExp(`\\b${kind}-(\\d+)`))[1]);

  const matches = (row) =>
    ["paper", "word", "evidence"].every((kind) => {
      const { value } = form.elements[kind];
      return value === "" || place(row, kind) === Number(value);
    });

  function show() {
    const order = form.elements.order.value;
    const sorted =
      order === "number" ? rows : rows.toSorted((a, b) => place(a, order) - place(b, order));
    body.append(...sorted);
    for (const row of rows) row.hidden = !matches(row);
    const count = rows.filter((row) => !row.hidden).length;
    form.querySelector(".claim-count").textContent = `${count} of ${rows.length} claims shown.`;
    for (const button of table.querySelectorAll("thead button"))
      button.closest("th").ariaSort = button.value === order ? "ascending" : "none";
  }

  // The heads of what can be sorted by are buttons that do as the choice above does.
  for (const head of table.tHead.rows[0].cells) {
    const key = KEYS[head.textContent.trim()];
    if (!key) continue;
    const button = Object.assign(document.createElement("button"), { type: "button", value: key });
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      form.elements.order.value = key;
      show();
    });
  }
  form.addEventListener("change", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show();
})();
