// The explorer: draws the page's own tables anew as a reader chooses, and a reader's table beside
// them (own_table.js), by the means of explorer_figure.js. No request leaves the page.
"use strict";

(() => {
  const root = document.querySelector(".explorer");
  const data = JSON.parse(root.querySelector(".explorer-data").textContent);
  const form = root.querySelector("form");
  const figure = root.querySelector(".explorer-figure");
  const plot = figure.firstElementChild;
  const SELECTS = ["view", "metric", "axis"];
  const BOXES = ["group", "set"];
  const { DASHES, make, traces, layout, entry, picture } = explorerFigure;

  const view = () => data.views[form.elements.view.value];

  const setting = () => view().settings.map(([name]) => form.elements[name].value);

  // What an address asks for of a table that is not on the page.
  let missing = [];

  const checked = (name) =>
    [...form.querySelectorAll(`input[name=${name}]:checked`)].map((box) => box.value);

  // A choice that another view does not offer falls back to that view's first.
  function fill(select, options) {
    const before = select.value;
    select.replaceChildren(...options.map(([value, text]) => make("option", { value, text })));
    select.value = options.some(([value]) => value === before) ? before : options[0][0];
  }

  function tick(name, options, wanted) {
    const boxes = options.map(([value, text]) =>
      make(
        "label",
        {},
        make("input", { type: "checkbox", name, value, checked: wanted.includes(value) }),
        text,
      ),
    );
    form.querySelector(`[data-boxes=${name}]`).replaceChildren(...boxes);
  }

  // What can be chosen, with the ticks that are given, else the first ones.
  function offer(ticks = {}) {
    const { metrics, axes, groups, sets, settings } = view();
    fill(form.elements.metric, metrics);
    fill(form.elements.axis, axes);
    const first = (options, count) => options.slice(0, count).map(([value]) => value);
    tick("group", groups, ticks.group ?? first(groups, 2));
    tick("set", sets, ticks.set ?? first(sets, 1));
    for (const label of form.querySelectorAll("[data-setting]")) {
      const one = settings[label.dataset.setting];
      label.hidden = !one;
      if (!one) continue;
      label.querySelector("span").textContent = one[1];
      fill(label.querySelector("select"), one[2]);
    }
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
      ...view().settings.map(([name]) => [name, form.elements[name].value]),
      ...BOXES.flatMap((name) => ticked(name).map((value) => [name, value])),
      ...missing.map((value) => ["group", value]),
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
    for (const name of ["metric", "axis", ...view().settings.map(([each]) => each)]) choose(name);
    const there = view().groups.map(([value]) => value);
    missing = asked.getAll("group").filter((each) => /^own:/.test(each) && !there.includes(each));
    for (const name of BOXES) {
      const wanted = asked.getAll(name);
      const boxes = [...form.querySelectorAll(`input[name=${name}]`)];
      if (wanted.includes("") || boxes.some(({ value }) => wanted.includes(value)))
        for (const box of boxes) box.checked = wanted.includes(box.value);
    }
  }

  // The curves that are asked for, each with its name, what its band is, and its look. A reader's
  // own are of their own setting, whichever is chosen.
  function chosen() {
    const { curves, sets, looks, band, places } = view();
    const [group, set, metric] = [checked("group"), checked("set"), form.elements.metric.value];
    const place = (id) => sets.findIndex(([value]) => value === id);
    const asked = setting();
    return curves
      .filter((each) => each.metric === metric)
      .filter((each) => group.includes(each.group) && set.includes(each.set))
      .filter((each) => !each.setting || each.setting.every((one, at) => one === asked[at]))
      .map((each) => ({
        ...each,
        ...(each.place ?? places[each.at]),
        name: `${each.group.replace(/^own:/, "")}, ${sets[place(each.set)][1]}`,
        note: each.own ? `your table, ${each.own}, ` : "",
        band: each.over > 1 ? band[0].replace("{}", each.over) : band[1],
        colour: looks[each.group][0],
        marker: looks[each.group][1],
        dash: Object.keys(DASHES)[place(each.set) % Object.keys(DASHES).length],
      }));
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
    return `${metric}, against ${axis}: ${count}.${absent(curves)}`;
  }

  // What is ticked and has no curve.
  function absent(curves) {
    const left = checked("group").filter((id) => !curves.some(({ group }) => group === id));
    const named = left.map((id) => id.replace(/^own:/, "")).join(", ");
    return left.length ? ` Not measured so: ${named}.` : "";
  }

  function draw() {
    const curves = chosen();
    const axis = form.elements.axis.value;
    const metric = form.elements.metric.selectedOptions[0].text;
    const dropped = missing.map((id) => id.replace(/^own:/, "")).join("; ");
    const wanted = dropped && ` This link shows ${dropped} of a table as well: drop it here.`;
    const status = told(curves, metric) + wanted;
    root.querySelector(".explorer-status").textContent = status;
    root.querySelector(".explorer-legend").replaceChildren(...curves.map(entry));
    root.classList.toggle("explorer-empty", !curves.length);
    tabulate(curves, axis, metric);
    figure.hidden = !curves.length;
    if (figure.hidden) return;
    figure.ariaLabel = `${status} ${curves.map(({ name, band }) => `${name}: ${band}`).join("; ")}.`;
    const drawn = curves.flatMap((each) => traces(each, axis));
    const { text } = form.elements.axis.selectedOptions[0];
    const options = { responsive: true, displayModeBar: false };
    Plotly.react(plot, drawn, layout(axis, text, metric), options);
  }

  function save(kind) {
    if (kind === "svg") {
      Plotly.downloadImage(...picture(plot, chosen()));
      return;
    }
    const axis = form.elements.axis.value;
    const [window_] = setting();
    const quote = (text) => `"${text.replaceAll('"', '""')}"`;
    const lines = chosen().flatMap((each) =>
      each[axis].map((x, at) =>
        [
          ...[each.name, each.own ? "yours" : "book", each.own ?? window_ ?? ""].map(quote),
          ...[x, each.value[at] ?? "", each.half[at] ?? ""],
        ].join(),
      ),
    );
    const text = [["curve", "source", "window", axis, "value", "half"].join(), ...lines, ""].join("\n");
    const href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    make("a", { href, download: "explorer.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(href), 1000);
  }

  // A reader's table: drawn beside the first view's, at once. The same file again takes its place;
  // a model of that name from another file stands beside it.
  function add({ curves, groups }) {
    const profiles = data.views.profiles;
    for (const group of groups) {
      const [id] = group;
      const [{ file }] = curves.filter((curve) => curve.group === id);
      if (!profiles.curves.some((each) => each.group === id && each.file !== file)) continue;
      group[0] = `${id}, ${file}`;
      group[1] += `, ${file}`;
      for (const curve of curves) if (curve.group === id) curve.group = group[0];
    }
    const ids = groups.map(([id]) => id);
    drop((id) => ids.includes(id));
    const others = form.elements.view.value === "profiles" ? checked("group") : [];
    const sets = form.elements.view.value === "profiles" ? checked("set") : [];
    profiles.groups.push(...groups);
    profiles.curves.push(...curves);
    for (const [id] of groups) {
      const taken = Object.keys(profiles.looks).filter((each) => each.startsWith("own:")).length;
      profiles.looks[id] ??= profiles.spare[taken % profiles.spare.length];
    }
    for (const [kind, of] of [["sets", "set"], ["metrics", "metric"]])
      for (const curve of curves)
        if (!profiles[kind].some(([id]) => id === curve[of]))
          profiles[kind].push([curve[of], curve[of]]);
    const asked = missing.filter((id) => ids.includes(id));
    missing = missing.filter((id) => !ids.includes(id));
    form.elements.view.value = "profiles";
    offer({
      group: [...new Set([...others, ...(asked.length ? asked : ids.slice(0, 4))])],
      set: sets.length ? sets : [curves[0].set],
    });
    if (!curves.some(({ metric }) => metric === form.elements.metric.value))
      form.elements.metric.value = curves[0].metric;
  }

  function drop(which) {
    const profiles = data.views.profiles;
    profiles.groups = profiles.groups.filter(([id]) => !which(id));
    profiles.curves = profiles.curves.filter(({ group }) => !which(group));
  }

  async function take(files) {
    const said = [];
    for (const file of files) {
      try {
        const found = await ownTable.read(file);
        add(found);
        said.push(`${file.name}: ${found.groups.map(([, name]) => name).join("; ")}.`);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        said.push(error.message);
      }
    }
    own(said.join(" "));
  }

  function forget() {
    const ticks = { group: checked("group").filter((id) => !/^own:/.test(id)), set: checked("set") };
    drop((id) => /^own:/.test(id));
    form.querySelector("input[type=file]").value = "";
    if (form.elements.view.value === "profiles") offer(ticks);
    own("");
  }

  // What came of a reader's table is said, drawn, and kept in the address.
  function own(said) {
    form.querySelector(".explorer-own-status").textContent = said;
    const any = data.views.profiles.groups.some(([id]) => /^own:/.test(id));
    form.querySelector("[data-own=forget]").hidden = !any;
    history.pushState(null, "", written());
    draw();
  }

  fill(
    form.elements.view,
    Object.entries(data.views).map(([name, { title }]) => [name, title]),
  );
  restore();
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", (event) => {
    if (event.target.type === "file") {
      take([...event.target.files]);
      return;
    }
    if (event.target.name === "view") offer();
    history.pushState(null, "", written());
    draw();
  });
  window.addEventListener("popstate", () => {
    // A link to a place on the page says nothing of a choice.
    const choice = /[#&](view|metric|axis|window|native|group|set)=/;
    if (location.hash && !choice.test(location.hash)) return;
    restore();
    draw();
  });
  for (const button of root.querySelectorAll("[data-save]"))
    button.addEventListener("click", () => save(button.dataset.save));
  form.querySelector("[data-own=forget]").addEventListener("click", forget);
  // Files, and nothing else that is dragged over the page.
  const dragged = (event) => event.dataTransfer?.types.includes("Files");
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"])
    document.addEventListener(kind, (event) => {
      if (!dragged(event)) return;
      event.preventDefault();
      root.classList.toggle("explorer-dropping", /^drag(enter|over)$/.test(kind));
      if (kind === "drop") take([...event.dataTransfer.files]);
    });
  for (const part of root.querySelectorAll(":scope > [hidden]")) part.hidden = false;
  root.querySelector(".explorer-still").remove();
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  draw();
})();
