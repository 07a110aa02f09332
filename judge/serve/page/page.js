// What the page does in the browser. Gradio runs this text once for each part of the page, as the body of a
// function with `element` (the part), `props` (its value), `trigger` (tell the server) and `watch` (the server
// changed something); page.py appends the call of the one function that the part needs.

/** The picture field: choose, drop or paste. Its value is the file as a data: URL, byte for byte. */
function drop() {
  const input = element.querySelector("input"), seen = element.querySelector("img");
  const told = element.querySelector(".j-told"), remove = element.querySelector(".j-remove");
  const zone = element.querySelector(".j-drop"), limit = Number(zone.dataset.limit);

  const size = (n) => n < 1e6 ? `${Math.max(1, Math.round(n / 1e3))} kB` : `${(n / 1e6).toFixed(1)} MB`;
  const show = (text) => {
    zone.toggleAttribute("data-full", Boolean(props.value));
    remove.hidden = !props.value;
    seen.hidden = !props.value;
    seen.src = props.value || "data:,";
    told.textContent = text;
  };
  const clear = (text) => { input.value = ""; props.value = ""; show(text); };
  seen.onerror = () => {
    if (!props.value) return;
    seen.hidden = true;
    told.textContent += " (this browser cannot show it; it may be judged all the same)";
  };
  const take = (file) => {
    if (file.size > limit) return clear(`${file.name} has ${size(file.size)}; at most ${size(limit)} are taken.`);
    const reader = new FileReader();
    reader.onerror = () => clear(`${file.name} cannot be read.`);
    reader.onload = () => { props.value = reader.result; show(`${file.name}, ${size(file.size)}`); };
    reader.readAsDataURL(file);
  };

  input.addEventListener("change", () => input.files.length && take(input.files[0]));
  remove.addEventListener("click", () => { clear("Removed."); input.focus(); });
  watch("value", () => { input.value = ""; show(props.value ? "A drawn scene." : ""); });

  // A picture that is dropped beside the field, or pasted, goes into the field with the focus, else into the
  // first empty one, else into the first; the browser must not leave the page to show it.
  const mine = (event) => {
    const fields = [...document.querySelectorAll(".j-drop")].filter((field) => field.offsetParent);
    const chosen = event.target.closest?.(".j-drop") ?? document.activeElement.closest(".j-drop")
      ?? fields.find((field) => !field.hasAttribute("data-full")) ?? fields[0];
    return chosen === zone;
  };
  const given = (event) => [...(event.clipboardData ?? event.dataTransfer)?.files ?? []][0];
  const accept = (event) => {
    zone.classList.remove("j-over");
    if (!given(event) || !mine(event)) return;
    event.preventDefault();
    take(given(event));
  };
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.toggle("j-over", mine(event));
  });
  document.addEventListener("dragleave", () => zone.classList.remove("j-over"));
  document.addEventListener("drop", (event) => { event.preventDefault(); accept(event); });
  document.addEventListener("paste", accept);
}

/** The verdict: what is pointed at in the list is lit on the picture and the other way round; copy the JSON. */
function result() {
  const light = (event) => {
    const article = event.target.closest(".j-verdict");
    const region = event.target.closest("[data-region]")?.dataset.region;
    for (const part of element.querySelectorAll("[data-region]")) {
      part.classList.toggle("j-lit", part.dataset.region === region && part.closest(".j-verdict") === article);
    }
  };
  for (const kind of ["pointerover", "focusin"]) element.addEventListener(kind, light);
  element.addEventListener("pointerleave", light);
  element.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target.closest(".j-box")) event.target.blur();
  });

  element.addEventListener("click", async (event) => {
    if (!event.target.closest(".j-copy")) return;
    const box = event.target.closest(".j-json"), code = box.querySelector("pre");
    let done = true;
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {  // browsers give the clipboard to secure pages only; the selection can still be copied
      getSelection().selectAllChildren(code);
      done = document.execCommand("copy");
    }
    box.querySelector(".j-copied").textContent = done ? "Copied." : "Selected: press Ctrl+C.";
  });

  // On a phone the verdict stands below the fold. Whoever types on is not torn away from the field.
  watch("value", () => requestAnimationFrame(() => {
    const title = element.querySelector(".j-title");
    if (!title) return;
    if (title.getBoundingClientRect().top > innerHeight * 0.8) {
      const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
      title.scrollIntoView({ behavior: still ? "auto" : "smooth", block: "start" });
    }
  }));
}

/** The two tabs; page.css hides the panel of the one that is not selected. */
function tabs() {
  const all = [...element.querySelectorAll("[role=tab]")];
  const select = (chosen) => {
    for (const tab of all) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
    }
  };
  const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -all.length, End: all.length };
  all.forEach((tab, at) => {
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", (event) => {
      if (!(event.key in steps)) return;
      event.preventDefault();
      const next = all[Math.min(Math.max(at + steps[event.key], 0), all.length - 1)];
      select(next);
      next.focus();
    });
    const panel = document.getElementById(tab.getAttribute("aria-controls"));
    panel?.setAttribute("role", "tabpanel");
    panel?.setAttribute("aria-labelledby", tab.id);
  });
}

/** The fields that are seldom needed: shown and hidden by a button; page.css hides them while it is not pressed. */
function fold() {
  const button = element.querySelector("button");
  button.addEventListener("click", () => {
    button.setAttribute("aria-expanded", String(button.getAttribute("aria-expanded") !== "true"));
  });
}

/** The scenes to try: tell the server which one was pressed. */
function scenes() {
  element.addEventListener("click", (event) => {
    const button = event.target.closest("[data-scene]");
    if (button) trigger("select", { index: Number(button.dataset.scene) });
  });
}
