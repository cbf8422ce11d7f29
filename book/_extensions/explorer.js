// The explorer: draws the page's own tables anew as a reader chooses. No request leaves the page.
"use strict";

(() => {
  const root = document.querySelector(".explorer");
  const data = JSON.parse(root.querySelector(".explorer-data").textContent);
  const form = root.querySelector("form");
  const figure = root.querySelector(".explorer-figure");
  const plot = figure.firstElementChild;
  const SELECTS = ["view", "metric", "axis"];
  const BOXES = ["group", "set"];
  // Lines of the plot, and the same for the legend: a line of 44 by 14 with a marker in its middle.
  const DASHES = { solid: "", dash: "7 5", dot: "2 4", dashdot: "7 3 2 3" };
  const MARKERS = {
    circle: "M26 7a4 4 0 1 1-8 0a4 4 0 1 1 8 0z",
    square: "M18 3h8v8h-8z",
    diamond: "M22 1.5l5.5 5.5-5.5 5.5-5.5-5.5z",
    "triangle-up": "M22 2l5 9h-10z",
    cross: "M20.5 2h3v3.5h3.5v3h-3.5v3.5h-3v-3.5h-3.5v-3h3.5z",
  };

  const make = (name, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };

  const shape = (name, attributes, ...children) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };

  const view = () => data.views[form.elements.view.value];

  const checked = (name) =>
    [...form.querySelectorAll(`input[name=${name}]:checked`)].map((box) => box.value);

  // A choice that another view does not offer falls back to that view's first.
  function fill(select, options) {
    const before = select.value;
    select.replaceChildren(...options.map(([value, text]) => make("option", { value, text })));
    select.value = options.some(([value]) => value === before) ? before : options[0][0];
  }

  function tick(name, options, count) {
    const boxes = options.map(([value, text], at) =>
      make("label", {}, make("input", { type: "checkbox", name, value, checked: at < count }), text),
    );
    form.querySelector(`[data-boxes=${name}]`).replaceChildren(...boxes);
  }

  function offer() {
    const { metrics, axes, groups, sets } = view();
    fill(form.elements.metric, metrics);
    fill(form.elements.axis, axes);
    tick("group", groups, 2);
    tick("set", sets, 1);
    const profiles = form.elements.view.value === "profiles";
    const legends = form.querySelectorAll("legend");
    legends[0].textContent = profiles ? "Models" : "Recipes";
    legends[1].textContent = profiles ? "Tokens" : "Batches";
  }

  // The choice as the address keeps it; a kind of boxes without a tick is kept as one empty value.
  function written() {
    const ticked = (name) => (checked(name).length ? checked(name) : [""]);
    const pairs = [
      ...SELECTS.map((name) => [name, form.elements[name].value]),
      ...BOXES.flatMap((name) => ticked(name).map((value) => [name, value])),
    ];
    return `#${new URLSearchParams(pairs)}`;
  }

  // Takes the choice from the address. What it does not say, or says wrongly, is as at first.
  function restore() {
    const asked = new URLSearchParams(location.hash.slice(1));
    const choose = (name) => {
      const { options } = form.elements[name];
      const at = [...options].findIndex(({ value }) => value === asked.get(name));
      options.selectedIndex = Math.max(at, 0);
    };
    choose("view");
    offer();
    choose("metric");
    choose("axis");
    for (const name of BOXES) {
      const wanted = asked.getAll(name);
      const boxes = [...form.querySelectorAll(`input[name=${name}]`)];
      if (wanted.includes("") || boxes.some(({ value }) => wanted.includes(value)))
        for (const box of boxes) box.checked = wanted.includes(box.value);
    }
  }

  // The curves that are asked for, each with its name, what its band is, and its look.
  function chosen() {
    const { curves, sets, looks, band } = view();
    const [group, set, metric] = [checked("group"), checked("set"), form.elements.metric.value];
    const place = (id) => sets.findIndex(([value]) => value === id);
    return curves
      .filter((each) => each.metric === metric)
      .filter((each) => group.includes(each.group) && set.includes(each.set))
      .map((each) => ({
        ...each,
        name: `${each.group}, ${sets[place(each.set)][1]}`,
        band: each.over > 1 ? band[0].replace("{}", each.over) : band[1],
        colour: looks[each.group][0],
        marker: looks[each.group][1],
        dash: Object.keys(DASHES)[place(each.set) % Object.keys(DASHES).length],
      }));
  }

  const stroke = ({ name, colour, dash }, symbol) => ({
    name,
    mode: "lines+markers",
    line: { color: colour, dash, width: 2 },
    marker: { size: 7, symbol },
  });

  function traces(curve, axis) {
    const x = curve[axis];
    const high = curve.value.map((value, at) => value + curve.half[at]);
    const low = curve.value.map((value, at) => value - curve.half[at]);
    const told = curve.half.map((half) => (half === null ? "" : ` ± ${+half.toPrecision(2)}`));
    const band = {
      x: [...x, ...[...x].reverse()],
      y: [...high, ...low.reverse()],
      fill: "toself",
      fillcolor: `${curve.colour}33`,
      line: { width: 0 },
      mode: "lines",
      hoverinfo: "skip",
    };
    const line = {
      ...stroke(curve, curve.apart.map((yes) => curve.marker + (yes ? "-open" : ""))),
      x,
      y: curve.value,
      customdata: told,
      hovertemplate: `${curve.name}<br>%{x:.4~g}: %{y:.4~g}%{customdata}<extra></extra>`,
    };
    return curve.over > 1 ? [band, line] : [line];
  }

  function layout(axis, metric) {
    const style = getComputedStyle(document.documentElement);
    const [ink, line, paper] = ["text-base", "border", "background"].map((name) =>
      style.getPropertyValue(`--pst-color-${name}`).trim(),
    );
    const axes = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true };
    const [, text] = view().axes.find(([value]) => value === axis);
    return {
      paper_bgcolor: paper,
      plot_bgcolor: paper,
      font: { color: ink, family: getComputedStyle(document.body).fontFamily, size: 14 },
      margin: { l: 48, r: 12, t: 36, b: 48 },
      title: { text: metric, font: { size: 15 }, x: 0, xanchor: "left", xref: "paper" },
      xaxis: { ...axes, title: { text }, type: axis === "logarithmic" ? "log" : "linear" },
      yaxis: axes,
      hovermode: "closest",
      hoverlabel: { bgcolor: paper, font: { color: ink } },
      showlegend: false,
    };
  }

  // Below the plot and no part of it, so that any number of curves has room on any screen.
  function entry({ name, band, colour, marker, dash }) {
    const line = { d: "M0 7h44", stroke: colour, "stroke-width": 2 };
    const sample = shape(
      "svg",
      { width: 44, height: 14, "aria-hidden": true },
      shape("path", { ...line, "stroke-dasharray": DASHES[dash] }),
      shape("path", { d: MARKERS[marker], fill: colour }),
    );
    const words = make("span", {}, name, make("small", { textContent: band }));
    return make("li", {}, sample, words);
  }

  function tabulate(curves, axis, metric) {
    const cells = (kind, values) => values.map((text) => make(kind, { textContent: text }));
    const heads = cells("th", ["curve", axis === "logarithmic" ? "step + 1" : axis, "value", "±"]);
    heads.forEach((head) => (head.scope = "col"));
    const rows = numbers(curves, axis).map(([name, ...rest]) =>
      make("tr", {}, make("th", { scope: "row", textContent: name }), ...cells("td", rest)),
    );
    root.querySelector(".explorer-numbers table").replaceChildren(
      make("caption", { textContent: metric }),
      make("thead", {}, make("tr", {}, ...heads)),
      make("tbody", {}, ...rows),
    );
  }

  const numbers = (curves, axis) =>
    curves.flatMap(({ name, value, half, [axis]: x }) =>
      x.map((each, at) => [name, each, value[at], half[at] ?? "–"]),
    );

  // What is to be read of the choice: in the figure's place, if there is nothing to draw.
  function told(curves, metric) {
    const [group, set] = view().words;
    if (!checked("group").length) return `Choose at least one ${group}.`;
    if (!checked("set").length) return `Choose at least one ${set}.`;
    if (!curves.length) return "Nothing was measured for this choice.";
    const axis = form.elements.axis.selectedOptions[0].text;
    const count = curves.length > 1 ? `${curves.length} curves` : "one curve";
    return `${metric}, against ${axis}: ${count}.`;
  }

  function draw() {
    const curves = chosen();
    const axis = form.elements.axis.value;
    const metric = form.elements.metric.selectedOptions[0].text;
    const status = told(curves, metric);
    root.querySelector(".explorer-status").textContent = status;
    root.querySelector(".explorer-legend").replaceChildren(...curves.map(entry));
    root.classList.toggle("explorer-empty", !curves.length);
    tabulate(curves, axis, metric);
    figure.hidden = !curves.length;
    if (figure.hidden) return;
    figure.ariaLabel = `${status} ${curves.map(({ name, band }) => `${name}: ${band}`).join("; ")}.`;
    const drawn = curves.flatMap((each) => traces(each, axis));
    Plotly.react(plot, drawn, layout(axis, metric), { responsive: true, displayModeBar: false });
  }

  // The figure with a legend of its own, in room that is added below; an entry is a curve without
  // points, so that its marker is filled whatever the curve begins with.
  function picture() {
    const curves = chosen();
    const room = 22 * curves.length + 24;
    const entries = curves.map((each) => ({ ...stroke(each, each.marker), x: [null], y: [null] }));
    const drawn = plot.data.map((each) => ({ ...each, showlegend: false }));
    const layout = {
      ...plot.layout,
      margin: { ...plot.layout.margin, b: plot.layout.margin.b + room },
      showlegend: true,
      legend: { x: 0, xanchor: "left", y: 0, yref: "container", yanchor: "bottom" },
    };
    const size = { width: plot.clientWidth, height: plot.clientHeight + room };
    const format = { format: "svg", filename: "explorer", ...size };
    return [{ data: [...drawn, ...entries], layout }, format];
  }

  function save(kind) {
    if (kind === "svg") {
      Plotly.downloadImage(...picture());
      return;
    }
    const axis = form.elements.axis.value;
    const quoted = numbers(chosen(), axis).map(([name, x, value, half]) =>
      [`"${name}"`, x, value, half === "–" ? "" : half].join(),
    );
    const text = [["curve", axis, "value", "half"].join(), ...quoted, ""].join("\n");
    const href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    make("a", { href, download: "explorer.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(href), 1000);
  }

  fill(
    form.elements.view,
    Object.entries(data.views).map(([name, { title }]) => [name, title]),
  );
  restore();
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", (event) => {
    if (event.target.name === "view") offer();
    history.pushState(null, "", written());
    draw();
  });
  window.addEventListener("popstate", () => {
    // A link to a place on the page says nothing of a choice.
    if (location.hash && !/[#&](view|metric|axis|group|set)=/.test(location.hash)) return;
    restore();
    draw();
  });
  for (const button of root.querySelectorAll("[data-save]"))
    button.addEventListener("click", () => save(button.dataset.save));
  for (const part of root.querySelectorAll("[hidden]")) part.hidden = false;
  root.querySelector(".explorer-still").remove();
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  draw();
})();
