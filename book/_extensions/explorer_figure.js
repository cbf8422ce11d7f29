// How the explorer draws: curves as traces of plotly.js, their legend, and the picture to save.
"use strict";

const explorerFigure = (() => {
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

  const stroke = ({ name, colour, dash, own }, symbol) => ({
    name,
    mode: "lines+markers",
    line: { color: colour, dash, width: own ? 4 : 2 },
    marker: { size: 7, symbol },
  });

  function traces(curve, axis) {
    const x = curve[axis];
    const known = [...x.keys()].filter((at) => curve.value[at] !== null);
    const edge = (side) => known.map((at) => curve.value[at] + side * curve.half[at]);
    const under = known.map((at) => x[at]);
    const told = curve.half.map((half) => (half === null ? "" : ` ± ${+half.toPrecision(2)}`));
    const band = {
      x: [...under, ...under.toReversed()],
      y: [...edge(1), ...edge(-1).reverse()],
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

  function layout(axis, text, metric) {
    const style = getComputedStyle(document.documentElement);
    const [ink, line, paper] = ["text-base", "border", "background"].map((name) =>
      style.getPropertyValue(`--pst-color-${name}`).trim(),
    );
    const axes = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true };
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
  function entry({ name, note, band, colour, marker, dash, own }) {
    const line = { d: "M0 7h44", stroke: colour, "stroke-width": own ? 4 : 2 };
    const sample = shape(
      "svg",
      { width: 44, height: 14, "aria-hidden": true },
      shape("path", { ...line, "stroke-dasharray": DASHES[dash] }),
      shape("path", { d: MARKERS[marker], fill: colour }),
    );
    const words = make("span", {}, name, make("small", { textContent: note + band }));
    return make("li", {}, sample, words);
  }

  // The figure with a legend of its own, in room that is added below; an entry is a curve without
  // points, so that its marker is filled whatever the curve begins with.
  function picture(plot, curves) {
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

  return { DASHES, make, traces, layout, entry, picture };
})();
