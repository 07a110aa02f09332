"""Word lists for the rules that split prompts and classify elements. All words are lower case."""

from __future__ import annotations

import re

ARTICLES = frozenset("a an the this that these those its it's his her their my your our".split())
"""Articles and possessives; they are removed from the beginning of a phrase."""
COPULAS = frozenset("is are was were be being been has have".split())
"""Forms of "be" and "have" that join a thing and its property."""
COLOURS = frozenset(
    "red green blue yellow purple orange pink black white gray grey brown cyan magenta teal gold golden "
    "silver violet turquoise beige navy maroon olive lime pale dark light".split()
)
"""Colours and words that modify a colour."""
NUMBERS = frozenset(
    "two three four five six seven eight nine ten eleven twelve dozen several many few couple pair multiple "
    "numerous single lots dozens hundreds".split()
)
"""Numbers and quantities in words."""

_SIDES = {
    f"{a} {b} {c}": f"{b} of"
    for a in ("to the", "on the", "at the")
    for b in ("left", "right")
    for c in ("of", "side of")
}
RELATIONS = _SIDES | {
    "to left of": "left of", "to right of": "right of", "left of": "left of", "right of": "right of",
    "on top of": "on top of", "in front of": "in front of", "next to": "next to", "close to": "near",
    "at the edge of": "on the edge of", "on the edge of": "on the edge of",
    "above": "above", "below": "below", "under": "under", "underneath": "under", "beneath": "under",
    "behind": "behind", "beside": "beside", "near": "near", "inside": "inside", "between": "between",
    "on": "on", "over": "over", "around": "around",
    "made out of": "made out of", "made of": "made of", "filled with": "filled with", "full of": "full of",
    "covered in": "covered in", "covered with": "covered with", "surrounded by": "surrounded by",
    "surrounding": "surrounding", "in the shape of": "in the shape of",
}  # fmt: skip
"""Relations between two things: phrase in a prompt -> wording in an element. The longest phrase is
matched."""
MAX_RELATION_WORDS = max(len(phrase.split()) for phrase in RELATIONS)
"""Number of words of the longest phrase in `RELATIONS`."""

PHRASE_BREAKS = frozenset(
    "in at with without by from into through during for to against amongst among across as and or while "
    "where featuring containing including showing depicting then amid within along but plus & upon onto "
    "beyond towards toward outside down up also not".split()
)
"""Prepositions and conjunctions that end a noun phrase."""
ING_NOUNS = frozenset(
    "ring king wing string spring thing building painting drawing ceiling clothing evening morning wedding "
    "lightning lighting earring viking swing writing lettering rendering engraving etching crosshatching "
    "coloring shading railing flooring dwelling living boxing pudding winning icing frosting filling "
    "topping awning "
    "herring offspring parking sibling dumpling duckling seedling gosling bedding wiring tubing scaffolding "
    "stuffing "
    "dressing darling sterling shilling siding molding moulding fishing rocking paving landing "
    "crossing".split()
)
"""Words in -ing that are not verbs."""
MEDIUM_NOUNS = (
    "picture image photo photograph painting drawing illustration sketch render rendering portrait shot "
    "scene view depiction art artwork print poster blueprint blueprints scan footage cartoon diagram "
    "close-up closeup photography composition snapshot"
).split()
"""Nouns that name the medium of an image."""


def _third_person(stems: str) -> frozenset[str]:
    return frozenset(
        stem + "es"
        if stem.endswith(("ch", "sh", "s", "x", "z"))
        else re.sub("([^aeiou])y$", r"\1ie", stem) + "s"
        for stem in stems.split()
    )


FINITE_VERBS = _third_person(
    "assist find serve navigate repair chase hold carry eat ride drive read throw catch push pull hug kiss "
    "climb sit "
    "stand lie swim sing write wear fight attack feed lead follow build fix clean wash pour lift drag hit "
    "enter leave "
    "examine inspect teach help meet greet sell buy deliver prepare bake carve weave sew knit aim embrace "
    "grab bite "
    "lick sniff cook kick jump run walk sleep guard hunt observe admire explore capture create hang contain "
    "surround"
)
"""Verbs in the third person that are seldom nouns: they join a thing and what it does."""
AMBIGUOUS_VERBS = _third_person(
    "sign plant wave face paint watch play drink look cut cross water touch point shoot swing open close "
    "visit "
    "circle stroke float hammer brush ring show"
)
"""Verbs in the third person that may be plurals: they are verbs right before an article."""
