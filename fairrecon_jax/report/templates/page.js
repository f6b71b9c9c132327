(function () {
  "use strict";
  if (matchMedia("(max-width: 62rem)").matches) { document.querySelector("nav details").open = false; }
  function text(row, i) { return row.cells[i] ? row.cells[i].textContent.trim() : ""; }
  function number(words) {
    var found = words.replace(/[−–]/g, "-").replace(/,(?=\d{3})/g, "").match(/-?\d+(\.\d+)?/);
    return found ? parseFloat(found[0]) : NaN;
  }
  document.querySelectorAll("table.sortable").forEach(function (table) {
    var body = table.tBodies[0], rows = Array.from(body.rows), heads = Array.from(table.tHead.rows[table.tHead.rows.length - 1].cells), labels = Number(table.dataset.labels);
    heads.forEach(function (head, i) {
      var button = document.createElement("button"), up = true;
      if (!head.textContent) { return; }
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", function () {
        var numeric = rows.filter(function (r) { return !isNaN(number(text(r, i))); }).length > rows.length / 2;
        rows.sort(function (a, b) {
          var x = text(a, i), y = text(b, i), order = numeric ? number(x) - number(y) : x.localeCompare(y);
          if (numeric && isNaN(order)) { order = isNaN(number(x)) - isNaN(number(y)); return order; }
          return up ? order : -order;
        });
        heads.forEach(function (h) { h.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        up = !up;
        rows.forEach(function (r) { body.appendChild(r); });
      });
    });
    if (rows.length < 6) { return; }
    var bar = document.createElement("form"), told = document.createElement("output"), selects = [];
    bar.className = "choices";
    for (var i = 0; i < labels; i++) {
      var values = rows.map(function (r) { return text(r, i); }).filter(function (v, k, all) { return all.indexOf(v) === k; });
      if (values.length < 2) { continue; }
      var label = document.createElement("label"), select = document.createElement("select");
      label.textContent = heads[i].textContent + " ";
      select.add(new Option("all", ""));
      values.forEach(function (v) { select.add(new Option(v, v)); });
      select.dataset.column = i;
      label.appendChild(select); bar.appendChild(label); selects.push(select);
    }
    bar.appendChild(told);
    bar.addEventListener("change", function () {
      var left = 0;
      rows.forEach(function (r) {
        r.hidden = !selects.every(function (s) { return !s.value || text(r, Number(s.dataset.column)) === s.value; });
        left += !r.hidden;
      });
      told.textContent = left + " of " + rows.length + " rows";
    });
    if (selects.length) { table.parentElement.before(bar); }
  });
})();
