(function () {
  "use strict";
  var numbers = JSON.parse(document.getElementById("numbers").textContent);
  var specs = JSON.parse(document.getElementById("chart-specs").textContent);
  var form = document.querySelector("#explore form"), fields = ["finding", "attribute", "method", "level"];
  function unpack(table) {
    var names = Object.keys(table), first = names.length ? table[names[0]] : [];
    var count = (first.codes || first).length, rows = [];
    for (var i = 0; i < count; i++) {
      var row = {};
      names.forEach(function (name) { var c = table[name]; row[name] = c.codes ? c.words[c.codes[i]] : c[i]; });
      rows.push(row);
    }
    return rows;
  }
  var rates = unpack(numbers.rates), flips = unpack(numbers.flips), verdicts = unpack(numbers.verdicts), curves = unpack(numbers.curves);
  function distinct(rows, name) { return rows.map(function (r) { return r[name]; }).filter(function (v, i, all) { return all.indexOf(v) === i; }); }
  function fill(name, values, chosen) {
    var select = form.elements[name];
    select.replaceChildren.apply(select, values.map(function (value) { return new Option(value, value); }));
    if (values.indexOf(chosen) >= 0) { select.value = chosen; }
  }
  function choice() { var c = {}; fields.forEach(function (f) { c[f] = form.elements[f].value; }); return c; }
  function matching(rows, c, names) { return rows.filter(function (r) { return names.every(function (n) { return r[n] === c[n]; }); }); }
  function order(rows, attribute) {
    var known = numbers.groups[attribute] || [];
    return rows.slice().sort(function (a, b) { return known.indexOf(a.group) - known.indexOf(b.group) || numbers.levels.indexOf(a.level) - numbers.levels.indexOf(b.level); });
  }
  function element(tag, text, parent) { var e = document.createElement(tag); if (text) { e.textContent = text; } if (parent) { parent.appendChild(e); } return e; }
  function sentence(text) { return text.charAt(0).toUpperCase() + text.slice(1); }
  function said(c) {
    var row = matching(verdicts, c, fields)[0], words = "No comparison of these groups is in the tables.";
    if (row) {
      words = (row.verdict ? row.verdict + (row.group && row.verdict !== "no difference shown" ? ": " + row.group : "") : "no test ran") + (row.gap ? "; gap " + row.gap : "") + ". " + (row.words || row.p);
    }
    document.getElementById("said").textContent = sentence(words);
  }
  function showFlips(c) {
    var box = document.getElementById("flips"), rows = order(matching(flips, c, fields), c.attribute);
    box.replaceChildren();
    if (!rows.length) { return; }
    var table = element("table", "", box);
    table.className = "fold";
    table.setAttribute("role", "table");
    var few = rows.some(function (r) { return [r.right, r.lost, r.gained, r.wrong].some(function (v) { return v < 0; }); });
    element("caption", "Decisions before and after. Right: found with the finding, cleared without it." + (few ? " Withheld: a row with a number below " + numbers.least + ", as its other numbers and the rates would tell it." : ""), table);
    var heads = ["group", "truth", "right both times", "lost", "gained", "wrong both times"], line = element("tr", "", element("thead", "", table));
    line.setAttribute("role", "row");
    heads.forEach(function (h) { var th = element("th", h, line); th.scope = "col"; th.setAttribute("role", "columnheader"); });
    var body = element("tbody", "", table);
    rows.forEach(function (r) {
      var tr = element("tr", "", body);
      tr.setAttribute("role", "row");
      [r.group, r.label === "positive" ? "with" : "without", r.right, r.lost, r.gained, r.wrong].forEach(function (v, i) {
        var cell = element(i ? "td" : "th", typeof v === "number" ? (v < 0 ? "withheld" : v.toLocaleString("en")) : v, tr);
        cell.setAttribute("role", i ? "cell" : "rowheader");
        cell.dataset.label = heads[i];
        if (!i) { cell.scope = "row"; }
      });
    });
  }
  function colours() {
    var style = getComputedStyle(document.documentElement), ink = style.getPropertyValue("--ink").trim(), line = style.getPropertyValue("--line").trim();
    return {
      background: null, font: "system-ui, sans-serif", view: { stroke: line },
      axis: { labelColor: ink, titleColor: ink, gridColor: line, domainColor: line, tickColor: line, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500, labelLimit: 130 },
      legend: { labelColor: ink, titleColor: ink, orient: "bottom", labelFontSize: 12, columns: 2, symbolStrokeWidth: 2 },
      tick: { color: ink }, rule: { color: ink }
    };
  }
  var drawn = 0;
  function draw(c) {
    var box = document.getElementById("charts"), mine = ++drawn, wanted = [];
    var at = order(matching(rates, c, fields), c.attribute), along = order(matching(rates, c, ["finding", "attribute", "method"]), c.attribute);
    distinct(at, "metric").forEach(function (metric) {
      wanted.push([sentence(metric) + " of each group, original (bar) to reconstructed (dot)", specs.groups, at.filter(function (r) { return r.metric === metric; })]);
    });
    if (numbers.levels.length > 1) {
      distinct(along, "metric").forEach(function (metric) {
        wanted.push([sentence(metric) + " after reconstruction against the " + numbers.unit, specs.levels, along.filter(function (r) { return r.metric === metric; })]);
      });
    }
    if (c.level === numbers.level) {
      var own = curves.filter(function (r) { return r.finding === c.finding && r.attribute === c.attribute && (r.method === c.method || r.version === "original"); });
      [["roc", "ROC, originals dashed"], ["calibration", "Calibration, originals dashed"]].forEach(function (pair) {
        var rows = own.filter(function (r) { return r.curve === pair[0]; });
        if (rows.length) { wanted.push([pair[1], specs[pair[0]], rows]); }
      });
    }
    box.replaceChildren();
    wanted.forEach(function (item) {
      var figure = element("figure", "", box), where = element("div", "", figure);
      element("figcaption", item[0], figure);
      where.className = "chart";
      where.setAttribute("role", "img");
      where.setAttribute("aria-label", item[0]);
      var spec = Object.assign({}, item[1], { data: { values: item[2] } });
      if (spec.height.step) { spec.height = spec.height.step * distinct(item[2], "group").length; }
      window.vegaEmbed(where, spec, { ast: true, actions: false, renderer: "svg", config: colours() }).catch(function (error) { if (mine === drawn) { where.textContent = String(error); } });
    });
  }
  function update() {
    var c = choice();
    // a method or level that this finding lacks gives way to the first that it has
    fill("attribute", distinct(matching(rates, c, ["finding"]), "attribute"), c.attribute); c = choice();
    fill("method", distinct(matching(rates, c, ["finding", "attribute"]), "method"), c.method); c = choice();
    fill("level", numbers.levels.filter(function (l) { return rates.some(function (r) { return r.level === l && r.finding === c.finding && r.method === c.method; }); }), c.level); c = choice();
    said(c); showFlips(c); draw(c);
    try { history.replaceState(null, "", "#explorer?" + new URLSearchParams(c)); } catch (error) { /* some viewers of files forbid it */ }
  }
  function start() {
    var asked = new URLSearchParams((location.hash.split("?")[1]) || ""), first = {};
    var claim = verdicts.filter(function (v) { return v.verdict === "harmed" && v.level === numbers.level; })[0] || verdicts[0] || {};
    fields.forEach(function (f) { first[f] = asked.get(f) || claim[f] || ""; });
    first.level = asked.get("level") || numbers.level;
    fill("finding", distinct(rates, "finding"), first.finding);
    ["attribute", "method", "level"].forEach(function (f) { fill(f, distinct(rates, f), first[f]); });
    document.getElementById("explore").hidden = false;
    form.addEventListener("change", update);
    document.getElementById("alone").addEventListener("click", function () { document.body.classList.add("alone"); print(); document.body.classList.remove("alone"); });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", function () { draw(choice()); });
    var keep = location.hash; update(); if (!asked.size) { try { history.replaceState(null, "", keep || location.pathname + location.search); } catch (error) { /* as above */ } }
  }
  if (window.vegaEmbed) { start(); } else { window.addEventListener("charts-ready", start); }
})();
