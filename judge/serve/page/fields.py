"""The page's input fields, its fixed parts of HTML, and Gradio's theme."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import gradio as gr

from judge.agent.budget import RECOMMENDED_LOOKS

if TYPE_CHECKING:
    from judge.serve.service import Service

ACCEPTED_FILES = "image/*,.tif,.tiff,.ppm,.avif"
"""Files that the browser's dialog offers first. Dropped and pasted files may be of any type."""
HEAD = '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
HEADER = """<header class="j-top-line"><h1>judge</h1>
<p>How good is a generated image, what of its prompt is present, and where is it broken?</p></header>"""
TABS = """<div role="tablist" class="j-tabs">
<button type="button" role="tab" id="j-tab-judge" aria-controls="j-panel-judge"
aria-selected="true">Judge</button>
<button type="button" role="tab" id="j-tab-compare" aria-controls="j-panel-compare"
aria-selected="false" tabindex="-1">Compare</button></div>"""
_FOLD_BUTTON = """<button type="button" class="j-more" aria-controls="j-{key}more"
aria-expanded="false">{label}</button>"""


def image_field(key: str, label: str, max_bytes: int) -> gr.HTML:
    """Create a field for one image. Its value is the file as a `data:` URL, or "" (see page.js).

    Args:
        key: part of the element ids, unique on the page.
        label: its visible name.
        max_bytes: largest file; larger ones are rejected in the browser.
    """
    template = f"""<div class="j-drop" data-limit="{max_bytes}">
      <span class="j-label">{label}</span>
      <input type="file" id="j-file-{key}" accept="{ACCEPTED_FILES}" aria-describedby="j-message-{key}">
      <label for="j-file-{key}"><span class="j-hidden">{label}: </span><img alt="" src="data:," hidden>
        <span class="j-hint"><b>Drop an image here</b><br>or paste it, or click to choose one</span></label>
      <div class="j-under"><span class="j-message" id="j-message-{key}" role="status"></span>
        <button type="button" class="j-remove" hidden>Remove<span class="j-hidden"> {label}</span></button>
      </div>
    </div>"""
    return gr.HTML(
        "",
        html_template=template,
        js_on_load=script("imageField"),
        elem_id=f"j-{key}",
        apply_default_css=False,
    )


def option_fields(service: Service, key: str = "", heat: bool = False) -> list[Any]:
    """Create the fields below the image.

    Args:
        service: offers rubrics, and limits the zoom-ins.
        key: prefix of the element ids.
        heat: add the field for heat maps.

    Returns:
        Fields for prompt, elements, rubric, depth, zoom-ins, with `heat` heat maps, the negative prompt, and
        whether numbers are given where the judge would abstain, in this order.
    """
    prompt = gr.Textbox(
        label="Prompt",
        placeholder="The text the image was generated from. Enter judges, Shift+Enter starts a new line.",
        lines=1,
        max_lines=8,
        elem_id=f"j-{key}prompt",
    )
    label = f"More: elements, negative prompt, rubric, depth, zoom-ins{', heat maps' if heat else ''}"
    # Not Gradio's accordion: see the comment in `judge.serve.page.app.build_page`.
    gr.HTML(_FOLD_BUTTON.format(key=key, label=label), js_on_load=script("fold"), apply_default_css=False)
    with gr.Column(elem_id=f"j-{key}more", elem_classes="j-folded"):
        elements = gr.Textbox(
            label="Elements",
            info="Statements to check, separated by commas. If empty, they are taken from the prompt.",
            lines=1,
            max_lines=6,
            elem_id=f"j-{key}elements",
        )
        negative = gr.Textbox(
            label="Negative prompt",
            info="What the image must not show, separated by commas.",
            lines=1,
            max_lines=6,
            elem_id=f"j-{key}negative",
        )
        rubrics = [(str(one["name"]), str(one.get("description", ""))) for one in service.rubrics()]
        names = [(f"{name}: {description}" if description else name, name) for name, description in rubrics]
        rubric = gr.Radio(names, value=names[0][1], label="Rubric", elem_id=f"j-{key}rubric")
        depths = [("verdict: everything", "verdict"), ("score: numbers only, faster", "score")]
        depth = gr.Radio(depths, value="verdict", label="Depth", elem_id=f"j-{key}depth")
        looks = gr.Radio(
            look_choices(service.looks), value="0", label="Zoom-ins (closer looks)", elem_id=f"j-{key}looks"
        )
        maps = [("no", "no"), ("yes: show where score and regions come from; takes longer", "yes")]
        heat_fields = [gr.Radio(maps, value="no", label="Heat maps", elem_id=f"j-{key}heat")] if heat else []
        ways = [("give no number", "no"), ("give numbers anyway, marked", "yes")]
        anyway = gr.Radio(
            ways, value="no", label="Outside what the judge was trained on", elem_id=f"j-{key}anyway"
        )
    return [prompt, elements, rubric, depth, looks, *heat_fields, negative, anyway]


def look_choices(max_looks: int) -> list[tuple[str, str]]:
    """Return the choices for the number of zoom-ins, as label and value, up to the service's limit."""
    few = min(RECOMMENDED_LOOKS, max_looks)
    purposes = {max_looks: "small parts of the image too", few: "where elements or regions are in doubt"}
    choices = [(f"up to {count}: {text}", str(count)) for count, text in sorted(purposes.items()) if count]
    return [("none", "0"), *choices]


def submit_events(fields: Sequence[Any]) -> list[Any]:
    """Return the events of Enter in the text fields, which do the same as the button."""
    return [fields[0].submit, fields[1].submit, fields[-2].submit]


def result_panel(key: str, value: str) -> gr.HTML:
    """Create the panel for a result, with what it shows at first."""
    return gr.HTML(
        value, elem_id=f"j-{key}", js_on_load=script("result"), apply_default_css=False, min_height=160
    )


def theme() -> gr.themes.Base:
    """Return Gradio's theme with system fonts only, so that nothing is loaded from another host."""
    return gr.themes.Base(
        primary_hue="teal",
        neutral_hue="slate",
        radius_size="lg",
        font=["system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "DejaVu Sans", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "DejaVu Sans Mono", "monospace"],
    ).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="white",
    )


def read_page_file(name: str) -> str:
    """Return the text of a file in this package, such as page.css."""
    return (files("judge.serve.page") / name).read_text("utf-8")


def script(function: str) -> str:
    """Return page.js with a call of one of its functions, for one part of the page."""
    return f"{read_page_file('page.js')}\n{function}();"
