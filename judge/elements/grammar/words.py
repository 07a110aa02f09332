"""Word lists of the splitter by grammar. All words are lower case."""

from __future__ import annotations

from judge.elements.lexicon import COLOURS, MEDIUM_NOUNS, NUMBERS

QUANTITY_WORDS = NUMBERS | frozenset("some one zero plenty countless infinite hundreds thousands".split())
"""Words that state a number of things."""
AMOUNT_NOUNS = frozenset(
    "lots lot plenty dozens dozen hundreds thousands millions couple pair number variety quantity bit "
    "amount collection horde handful multitude "
    "series".split()
)
"""Nouns that only count what "of" joins to them, as in "a couple of cats"."""
UNIT_NOUNS = frozenset(
    "group stack stacks pile piles bunch bouquet row rows flock herd crowd stick sticks slice slices piece "
    "pieces "
    "bottom top side middle center centre edge back rest cup glass bowl plate bottle depth field set swarm "
    "cluster "
    "pack pair loaf ball can jar".split()
)
"""Nouns that form one thing with what "of" joins to them, as in "a stack of books"."""
STYLE_NOUNS = frozenset(MEDIUM_NOUNS) | frozenset(
    "style art artstation cinematic bokeh lighting aesthetic resolution quality focus view perspective angle "
    "panorama photorealism photorealistic realism realistic impressionism watercolor watercolour wallpaper "
    "render "
    "engine octane detail details detailed font orientation contrast hdr vector cgi anime shot closeup "
    "close-up "
    "colors palette effect effects design scale vibe vibes tone tones ambience ambiance layout composition "
    "mood atmosphere masterpiece unreal minimalism surrealism cubism".split()
)
"""Last words of phrases about style, medium and view."""
PLAIN_MEDIA = frozenset("picture image scene depiction artwork".split())
"""Media that say nothing about the image by themselves."""
EMPTY_NOUNS = PLAIN_MEDIA | frozenset("something anything text word words caption".split())
"""Nouns that name nothing to look for by themselves."""
MATERIALS = frozenset(
    "wood wooden wool woolen plastic rubber leather metal metallic glass stone gold silver cotton silk "
    "velvet paper "
    "ceramic porcelain clay marble steel iron brass copper bronze concrete brick straw denim fur crystal "
    "lace satin "
    "linen cardboard bamboo wicker plush shell latex vinyl foam felt granite chrome titanium aluminum "
    "aluminium "
    "suede nylon tweed jade ivory".split()
)
"""Materials; as nouns before a thing they are its attributes."""
COLOUR_WORDS = COLOURS | frozenset(
    "lavender ruby emerald olive bronze turquoise scarlet crimson azure indigo amber ivory coral salmon "
    "peach mint "
    "khaki charcoal mauve lilac burgundy sapphire tan cream rose plum fuchsia aqua".split()
)
"""Colours, those named after things included."""
COLOUR_SHADES = frozenset(
    "midnight royal navy sky dark light pale deep bright baby lime forest hot neon pastel".split()
)
"""Words that stand before a colour and belong to it."""
QUALITY_NOUNS = frozenset("quality resolution definition res detail fidelity".split())
"""Nouns that with an adjective before them are a property of a medium: "a high quality photo"."""
QUALITY_LEVELS = frozenset("high highest low best top good great premium hyper ultra".split())
"""Adjectives before `QUALITY_NOUNS`."""
PLURAL_MODIFIERS = frozenset(
    "sports arms glasses goods sales clothes jeans sunglasses customs games news sweets systems savings "
    "grass "
    "christmas princess dress canvas bus cross glass chess octopus cactus boss goddess lens dinosaurs".split()
)
"""Words in -s that stand before a noun and are no verbs."""
HOLDERS = frozenset(
    "box bowl vase cup teacup mug glass basket jar bag bottle pot bucket cage car boat bed nest hand hands "
    "mouth arms tree "
    "cart drawer pocket helmet window frame suit dress hat coat uniform armor armour shirt jacket costume "
    "cape robe gown "
    "kimono skirt jeans shorts swimsuit tuxedo hoodie sweater spacesuit chair armchair bathtub oven fridge "
    "cage aquarium "
    "tank hole envelope suitcase backpack plate shell wheelbarrow hammock".split()
)
"""Nouns that hold or clothe: being in them is a relation; being in a park is where the image is set."""
_ADJECTIVE_ENDINGS = ("ous", "ful", "ish", "less", "escent", "able", "ible", "esque", "like")


def is_adjective_like(word: str) -> bool:
    """Return whether a word ends as only adjectives do; parsers take rare ones for nouns."""
    return len(word) > 6 and word.endswith(_ADJECTIVE_ENDINGS) and not word.endswith(("fish", "table"))


ADJECTIVES = frozenset(
    "big large huge giant small little tiny miniature tall short long wide narrow thick thin fat skinny old "
    "ancient "
    "young new modern antique vintage elderly cute beautiful pretty ugly handsome adorable elegant graceful "
    "gorgeous "
    "majestic happy sad angry smiling sleeping laughing crying scared surprised tired sleepy hungry wet dry "
    "dirty "
    "clean shiny rusty dusty broken cracked torn worn empty full open closed round square oval triangular "
    "rectangular "
    "curved flat pointed sharp smooth rough soft hard fluffy furry hairy bald curly straight striped "
    "spotted dotted "
    "checkered patterned plain floral wooden metallic golden silver transparent translucent glowing "
    "illuminated lit "
    "bright dark dim pale colorful colourful rainbow snowy rainy foggy misty cloudy sunny stormy windy icy "
    "frozen "
    "burning flaming flying floating walking running dancing jumping sitting standing hot cold warm fresh "
    "ripe rotten "
    "cooked raw sliced delicious moist magical mystical mysterious enchanted haunted abandoned ruined "
    "deserted busy "
    "crowded quiet calm peaceful lush dense expansive futuristic medieval traditional rustic cozy realistic "
    "minimalist "
    "abstract surreal geometric symmetrical anonymous muscular strong brave fierce wild tame lone single "
    "young "
    "masked bearded armored hooded winged horned chiseled carved polished sleek scaly scaled woolly "
    "luminescent "
    "holographic giant infinite underwater snow-covered half-empty beautiful blurry blurred low high".split()
)
"""Adjectives that prompts use often."""
TIMES = frozenset(
    "morning afternoon evening night day noon midnight dusk dawn sunset sunrise twilight spring summer "
    "autumn fall "
    "winter season weekend hour century era time".split()
)
"""Nouns for times: what happens "on a rainy evening" is not on top of it."""
IMAGE_PLACES = frozenset("left right foreground background center centre middle top bottom".split())
"""Nouns for places in the image, in "a boy on the left"."""
STATES = frozenset("on fire|in flight|in bloom|in motion|in love|in ruins|at rest".split("|"))
"""Preposition and noun that together state a property."""
