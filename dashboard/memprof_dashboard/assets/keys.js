// Keys press the buttons of the page; the list of them is in keys.py.
(() => {
  const press = id => {
    const button = document.getElementById(id);
    if (button && !button.disabled) button.click();
  };
  const help = open => {
    const dialog = document.getElementById("help");
    if (dialog && open !== dialog.open) open ? dialog.showModal() : dialog.close();
  };
  const switchUnits = () => {
    const now = document.getElementById("units").textContent;
    const wanted = now === "GB" ? "GiB" : "GB";
    document.cookie = `memprof-units=${wanted}; path=/; SameSite=Strict; max-age=31536000`;
    location.reload();
  };
  const nextMode = () => {
    const modes = [...document.querySelectorAll("#modes button")];
    const now = modes.findIndex(button => button.getAttribute("aria-pressed") === "true");
    modes[(now + 1) % modes.length].click();
  };
  // A spreadsheet must not take a name for a formula.
  const plain = ({value}) => /^[=+@-]/.test(value) && isNaN(value) ? `'${value}` : value;
  const saveTable = name => dash_ag_grid.getApi(name).exportDataAsCsv(
    {fileName: `memprof-${name}.csv`, processCellCallback: plain});
  const keys = {
    p: () => press("go-to-peak"),
    ArrowLeft: () => press("previous"),
    ArrowRight: () => press("next"),
    "[": () => press("previous-step"),
    "]": () => press("next-step"),
    b: nextMode,
    w: () => press("whole"),
    u: switchUnits,
    "/": () => document.getElementById("filter").focus(),
    "?": () => help(true),
    Escape: () => press("close-tensor"),
  };
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, .ag-root, [role=slider], dialog")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const view = document.querySelectorAll("button.view")[event.key - 1];
    const act = view ? () => view.click() : keys[event.key] || keys[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  });
  document.addEventListener("click", event => {
    if (event.target.id === "open-help") help(true);
    if (event.target.id === "close-help" || event.target.id === "help") help(false);
    if (event.target.id === "units") switchUnits();
    if (event.target.dataset.csv) saveTable(event.target.dataset.csv);
  });
  document.addEventListener("dblclick", event => {
    const chip = event.target.closest(".chip");
    if (chip) dash_clientside.set_props("alone", {data: [JSON.parse(chip.id).key, Date.now()]});
  });
})();
