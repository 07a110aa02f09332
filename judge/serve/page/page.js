// What the page does in the browser. Gradio runs this text once for each part of the page, as the body of a
// function with `element` (the part), `props` (its value), `trigger` (send an event to the server) and `watch`
// (called when the server changes a value). fields.py appends a call of the function that the part needs.

/** The image field: choose, drop or paste a file. Its value is the file as a data: URL, byte for byte. */
function imageField() {
  const input = element.querySelector("input"), preview = element.querySelector("img");
  const message = element.querySelector(".j-message"), remove = element.querySelector(".j-remove");
  const zone = element.querySelector(".j-drop"), limit = Number(zone.dataset.limit);

  const size = (n) => n < 1e6 ? `${Math.max(1, Math.round(n / 1e3))} kB` : `${(n / 1e6).toFixed(1)} MB`;
  const show = (text) => {
    zone.toggleAttribute("data-full", Boolean(props.value));
    remove.hidden = !props.value;
    preview.hidden = !props.value;
    preview.src = props.value || "data:,";
    message.textContent = text;
  };
  const clear = (text) => { input.value = ""; props.value = ""; show(text); };
  preview.onerror = () => {
    if (!props.value) return;
    preview.hidden = true;
    message.textContent += " (this browser cannot show it, but it can still be judged)";
  };
  const read = (file) => {
    if (file.size > limit) return clear(`${file.name} has ${size(file.size)}; the limit is ${size(limit)}.`);
    const reader = new FileReader();
    reader.onerror = () => clear(`${file.name} cannot be read.`);
    reader.onload = () => { props.value = reader.result; show(`${file.name}, ${size(file.size)}`); };
    reader.readAsDataURL(file);
  };

  input.addEventListener("change", () => input.files.length && read(input.files[0]));
  remove.addEventListener("click", () => { clear("Removed."); input.focus(); });
  watch("value", () => { input.value = ""; show(props.value ? "An example scene." : ""); });

  // An image that is dropped outside of a field, or pasted, goes into the field that has the focus, else into the
  // first empty field, else into the first one. Without preventDefault, the browser would leave the page to show it.
  const isTarget = (event) => {
    const fields = [...document.querySelectorAll(".j-drop")].filter((field) => field.offsetParent);
    const chosen = event.target.closest?.(".j-drop") ?? document.activeElement.closest(".j-drop")
      ?? fields.find((field) => !field.hasAttribute("data-full")) ?? fields[0];
    return chosen === zone;
  };
  const firstFile = (event) => [...(event.clipboardData ?? event.dataTransfer)?.files ?? []][0];
  const accept = (event) => {
    zone.classList.remove("j-over");
    if (!firstFile(event) || !isTarget(event)) return;
    event.preventDefault();
    read(firstFile(event));
  };
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.toggle("j-over", isTarget(event));
  });
  document.addEventListener("dragleave", () => zone.classList.remove("j-over"));
  document.addEventListener("drop", (event) => { event.preventDefault(); accept(event); });
  document.addEventListener("paste", accept);
}

/** The result: highlight a region on the image and in the list together, run a suggestion, and copy the JSON. */
function result() {
  const highlight = (event) => {
    const article = event.target.closest(".j-verdict");
    const region = event.target.closest("[data-region]")?.dataset.region;
    for (const part of element.querySelectorAll("[data-region]")) {
      part.classList.toggle("j-lit", part.dataset.region === region && part.closest(".j-verdict") === article);
    }
  };
  for (const kind of ["pointerover", "focusin"]) element.addEventListener(kind, highlight);
  element.addEventListener("pointerleave", highlight);
  element.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target.closest(".j-box")) event.target.blur();
  });

  // What a judge that abstains can do instead: the server chooses it and judges again.
  element.addEventListener("click", (event) => {
    const button = event.target.closest("[data-run]");
    if (button) trigger("select", { run: button.dataset.run });
  });

  element.addEventListener("click", async (event) => {
    if (!event.target.closest(".j-copy")) return;
    const block = event.target.closest(".j-json"), code = block.querySelector("pre");
    let isCopied = true;
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {  // browsers offer the clipboard to secure pages only; a selection can still be copied
      getSelection().selectAllChildren(code);
      isCopied = document.execCommand("copy");
    }
    block.querySelector(".j-copied").textContent = isCopied ? "Copied." : "Selected: press Ctrl+C.";
  });

  // On a phone the verdict is below the visible part of the page: scroll to it. The focus stays where it is, so
  // that a visitor who is typing can go on.
  watch("value", () => requestAnimationFrame(() => {
    const title = element.querySelector(".j-title");
    if (!title) return;
    if (title.getBoundingClientRect().top > innerHeight * 0.8) {
      const reducesMotion = matchMedia("(prefers-reduced-motion: reduce)").matches;
      title.scrollIntoView({ behavior: reducesMotion ? "auto" : "smooth", block: "start" });
    }
  }));
}

/** The two tabs. page.css hides the panel of the tab that is not selected. */
function tabs() {
  const all = [...element.querySelectorAll("[role=tab]")];
  const select = (selected) => {
    for (const tab of all) {
      tab.setAttribute("aria-selected", String(tab === selected));
      tab.tabIndex = tab === selected ? 0 : -1;
    }
  };
  const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -all.length, End: all.length };
  all.forEach((tab, index) => {
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", (event) => {
      if (!(event.key in steps)) return;
      event.preventDefault();
      const next = all[Math.min(Math.max(index + steps[event.key], 0), all.length - 1)];
      select(next);
      next.focus();
    });
    const panel = document.getElementById(tab.getAttribute("aria-controls"));
    panel?.setAttribute("role", "tabpanel");
    panel?.setAttribute("aria-labelledby", tab.id);
  });
}

/** The button that shows and hides the less common fields. page.css hides them while it is not pressed. */
function fold() {
  const button = element.querySelector("button");
  button.addEventListener("click", () => {
    button.setAttribute("aria-expanded", String(button.getAttribute("aria-expanded") !== "true"));
  });
}

/** The examples: tell the server which one was clicked. */
function gallery() {
  element.addEventListener("click", (event) => {
    const button = event.target.closest("[data-scene]");
    if (button) trigger("select", { index: Number(button.dataset.scene) });
  });
}
