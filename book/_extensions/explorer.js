// The explorer: draws the page's own tables anew as a reader chooses. No request leaves the page.
"use strict";

(() => {
  const root = document.querySelector(".explorer");
  const data = JSON.parse(root.querySelector(".explorer-data").textContent);
  const form = root.querySelector("form");
  const figure = root.querySelector(".explorer-figure");
  const plot = figure.firstElementChild;
  const DASHES = ["solid", "dash", "dot", "dashdot"];

  const make = (name, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
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

  // The curves that are asked for, each with its name, colour and dash.
  function chosen() {
    const { curves, colours, sets } = view();
    const [group, set, metric] = [checked("group"), checked("set"), form.elements.metric.value];
    const place = (options, id) => options.findIndex(([value]) => value === id);
    return curves
      .filter((each) => each.metric === metric)
      .filter((each) => group.includes(each.group) && set.includes(each.set))
      .map((each) => ({
        ...each,
        name: `${each.group}, ${sets[place(sets, each.set)][1]}`,
        colour: colours[each.group],
        dash: DASHES[place(sets, each.set) % DASHES.length],
      }));
  }

  function traces(curve, axis) {
    const x = curve[axis];
    const high = curve.value.map((value, at) => value + curve.half[at]);
    const low = curve.value.map((value, at) => value - curve.half[at]);
    const band = {
      x: [...x, ...[...x].reverse()],
      y: [...high, ...low.reverse()],
      fill: "toself",
      fillcolor: `${curve.colour}33`,
      line: { width: 0 },
      mode: "lines",
      hoverinfo: "skip",
      showlegend: false,
      legendgroup: curve.name,
    };
    const line = {
      x,
      y: curve.value,
      name: curve.name,
      legendgroup: curve.name,
      mode: "lines+markers",
      line: { color: curve.colour, dash: curve.dash, width: 2 },
      marker: { size: 6, symbol: curve.apart.map((yes) => (yes ? "circle-open" : "circle")) },
      customdata: curve.half,
      hovertemplate: "%{x:.4~g}: %{y:.4~g} ± %{customdata:.2~g}",
    };
    return [band, line];
  }

  function layout(axis, metric) {
    const style = getComputedStyle(document.documentElement);
    const [ink, line, paper] = ["text-base", "border", "background"].map((name) =>
      style.getPropertyValue(`--pst-color-${name}`).trim(),
    );
    const axes = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true };
    const [, text] = view().axes.find(([value]) => value === axis);
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: ink, family: getComputedStyle(document.body).fontFamily, size: 14 },
      margin: { l: 48, r: 12, t: 36, b: 48 },
      title: { text: metric, font: { size: 15 }, x: 0, xanchor: "left", xref: "paper" },
      xaxis: { ...axes, title: { text }, type: axis === "logarithmic" ? "log" : "linear" },
      yaxis: axes,
      hovermode: "closest",
      hoverlabel: { bgcolor: paper, font: { color: ink } },
      legend: { orientation: "h", x: 0, y: -0.25, yanchor: "top" },
      showlegend: true,
    };
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
      x.map((each, at) => [name, each, value[at], half[at]]),
    );

  function draw() {
    const curves = chosen();
    const axis = form.elements.axis.value;
    const metric = form.elements.metric.selectedOptions[0].text;
    const told = curves.length
      ? `${metric}: ${curves.map((each) => each.name).join("; ")}. Bands: ${view().band}.`
      : "Nothing to draw: tick at least one box of each kind that was measured with this metric.";
    root.querySelector(".explorer-status").textContent = told;
    figure.ariaLabel = told;
    tabulate(curves, axis, metric);
    const drawn = curves.flatMap((each) => traces(each, axis));
    const options = { responsive: true, displayModeBar: false };
    return Plotly.react(plot, drawn, layout(axis, metric), options);
  }

  function save(kind) {
    if (kind === "svg") {
      const size = { width: plot.clientWidth, height: plot.clientHeight };
      Plotly.downloadImage(plot, { format: "svg", filename: "explorer", ...size });
      return;
    }
    const axis = form.elements.axis.value;
    const quoted = numbers(chosen(), axis).map(([name, ...rest]) => [`"${name}"`, ...rest].join());
    const text = [["curve", axis, "value", "half"].join(), ...quoted, ""].join("\n");
    const href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    make("a", { href, download: "explorer.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(href), 1000);
  }

  fill(
    form.elements.view,
    Object.entries(data.views).map(([name, { title }]) => [name, title]),
  );
  offer();
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", (event) => {
    if (event.target.name === "view") offer();
    draw();
  });
  for (const button of root.querySelectorAll("[data-save]"))
    button.addEventListener("click", () => save(button.dataset.save));
  for (const part of root.querySelectorAll("[hidden]")) part.hidden = false;
  root.querySelector(".explorer-still").remove();
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  draw();
})();
