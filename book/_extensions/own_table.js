// A reader's own table of `shapelib profile`, read in the browser: what the explorer draws of it, or
// a sentence that says why it cannot.
"use strict";

const ownTable = (() => {
  const NEEDED = [
    ...["model", "role", "layer", "depth", "after_norm", "tokens"],
    ...["metric", "centered", "value", "std", "batches"],
  ];
  // What tells the runs of one model apart, where a table has several.
  const RUNS = ["part", "checkpoint", "step", "corpus", "window", "seed", "dtype", "beginning"];
  const LARGEST = 20e6;
  const COMMAND = "shapelib profile MODEL TEXT --out mine.csv";

  const refuse = (sentence) => {
    throw new RangeError(sentence);
  };

  // Rows of cells, as RFC 4180 writes them.
  function cells(text) {
    const rows = [[""]];
    let quoted = false;
    const whole = text.replace(/^\ufeff/, "").replace(/\r\n?/g, "\n");
    for (let at = 0; at < whole.length; at++) {
      const letter = whole[at];
      const row = rows.at(-1);
      if (letter === '"' && quoted && whole[at + 1] === '"') row[row.length - 1] += whole[++at];
      else if (letter === '"') quoted = !quoted;
      else if (quoted || !",\n".includes(letter)) row[row.length - 1] += letter;
      else if (letter === ",") row.push("");
      else rows.push([""]);
    }
    if (quoted) refuse("a quotation mark is opened and never closed");
    return rows.filter((row) => row.length > 1 || row[0] !== "");
  }

  function records(text) {
    const [head, ...rows] = cells(text);
    const lacks = NEEDED.filter((name) => !head?.includes(name));
    if (lacks.length)
      refuse(
        `it has no column ${lacks.join(", ")}, so it is no table of shapelib profile; ` +
          `this makes one: ${COMMAND}`,
      );
    if (!rows.length) refuse("it has a header and no rows");
    return rows.map((row, at) => {
      if (row.length !== head.length)
        refuse(`row ${at + 1} has ${row.length} cells, and the header ${head.length}`);
      return checked(Object.fromEntries(head.map((name, place) => [name, row[place]])), at + 1);
    });
  }

  function checked(row, at) {
    const wrong = (name, wanted) => refuse(`in row ${at}, ${name} is "${row[name]}", not ${wanted}`);
    const number = (name, empty) => {
      if (empty && ["", "nan"].includes(row[name].toLowerCase())) return null;
      const value = row[name].trim() === "" ? NaN : Number(row[name]);
      return Number.isFinite(value) ? value : wrong(name, "a number");
    };
    const truth = (name, empty) => {
      if (empty && row[name] === "") return null;
      const said = row[name].toLowerCase();
      return ["true", "false"].includes(said) ? said === "true" : wrong(name, "True or False");
    };
    if (!["encoder", "decoder"].includes(row.role)) wrong("role", "encoder or decoder");
    for (const name of ["model", "tokens", "metric"]) if (!row[name]) wrong(name, "a name");
    const [layer, depth, batches] = ["layer", "depth", "batches"].map((name) => number(name));
    const [value, half] = ["value", "std"].map((name) => number(name, true));
    const centered = truth("centered", true);
    const kind = centered === null ? "" : `, ${centered ? "" : "not "}centered`;
    const apart = layer === 0 || truth("after_norm");
    return { ...row, layer, depth, batches, value, half, apart, key: `${row.metric}${kind}` };
  }

  // The name of each run: that of its model, and what it has that its model's other runs have not.
  function named(rows) {
    const models = Map.groupBy(rows, ({ model }) => model);
    const names = new Map();
    for (const [model, own] of models) {
      const varies = RUNS.filter((name) => new Set(own.map((row) => row[name])).size > 1);
      for (const row of own)
        names.set(row, [model, ...varies.map((name) => said(name, row[name]))].join(", "));
    }
    return names;
  }

  const said = (name, value) =>
    name === "window" || name === "corpus" ? value : `${name} ${value || "none"}`;

  function curves(rows) {
    const names = named(rows);
    const groups = Map.groupBy(rows, (row) =>
      JSON.stringify([names.get(row), row.tokens, row.key]),
    );
    return [...groups].map(([key, line]) => {
      const [name, set, metric] = JSON.parse(key);
      line.sort((one, other) => one.layer - other.layer);
      for (const [at, { layer }] of line.entries())
        if (at && layer === line[at - 1].layer)
          refuse(`layer ${layer} of ${name} stands twice for ${metric}, ${set}; once is needed`);
      const column = (of) => line.map((row) => row[of]);
      return {
        group: `own:${name}`,
        set,
        metric,
        setting: null,
        own: line[0].window || "your window",
        value: column("value"),
        half: column("half"),
        over: Math.min(...column("batches")),
        place: { depth: column("depth"), layer: column("layer"), apart: column("apart") },
      };
    });
  }

  // The curves and groups of a file. Fails with a sentence that names the file.
  async function read(file) {
    try {
      if (/\.parquet$/i.test(file.name))
        refuse(
          "a browser does not read Parquet; write it as .csv, by the name that --out has, or " +
            'by shapelib.read_table("mine.parquet").to_csv("mine.csv", index=False)',
        );
      if (!/\.csv$/i.test(file.name)) refuse(`a .csv file is accepted; this makes one: ${COMMAND}`);
      if (file.size > LARGEST) refuse(`it is larger than the ${LARGEST / 1e6} MB that are accepted`);
      const rows = records(await file.text());
      const found = curves(rows).map((curve) => ({ ...curve, file: file.name }));
      const roles = new Map(rows.map((row) => [row.model, row.role]));
      const ids = [...new Set(found.map(({ group }) => group))];
      const groups = ids.map((id) => {
        const name = id.slice("own:".length);
        const model = [...roles.keys()].find((each) => name === each || name.startsWith(`${each}, `));
        return [id, `${name} (${roles.get(model)}, yours)`];
      });
      return { curves: found, groups };
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new RangeError(`${file.name} is not drawn: ${error.message}.`);
    }
  }

  return { read };
})();
