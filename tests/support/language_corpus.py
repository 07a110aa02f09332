"""Prompts in natural English and in other languages, and what a person would ask about each.

All prompts were written for these tests.
"""

# ruff: noqa: E501
from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """One prompt. Phrases are compared by their content words, those of languages without spaces as they are."""

    prompt: str
    asked: tuple[str, ...]
    """What must be asked: some element has all words of the phrase."""
    never: tuple[str, ...] = ()
    """Elements that must not come: no element may be equal to one, articles and case aside."""


ATTRIBUTES = (
    Case("a rusty blue pickup truck on a gravel road", ("blue pickup truck", "rusty pickup truck", "gravel road"),
         ("blue", "rusty", "truck on")),
    Case("three ripe pears in a ceramic bowl", ("three pears", "ripe pears", "ceramic bowl"), ("three", "ripe")),
    Case("The bicycle is yellow and very old. It leans against a brick wall.",
         ("yellow bicycle", "brick wall"), ("it", "yellow", "very old")),
    Case("a tall, slender vase with dried flowers", ("vase", "slender vase", "dried flowers"), ("tall",)),
    Case("a bright red umbrella and a pair of black leather boots",
         ("red umbrella", "boots", "black boots", "leather boots"), ("umbrella and",)),
    Case("a half-eaten apple next to a silver pocket knife", ("half-eaten apple", "pocket knife", "silver pocket knife"),
         ("half", "eaten")),
    Case("an old wooden door that is painted green", ("wooden door", "old door"), ("that",)),
    Case("a couple of sleepy kittens in a wicker basket", ("kittens", "sleepy kittens", "wicker basket"), ("couple of",)),
    Case("dozens of paper lanterns above a narrow street", ("paper lanterns", "narrow street"), ("dozens of",)),
    Case("a white coffee mug with a chipped handle", ("coffee mug", "white mug", "chipped handle"), ("a",)),
)  # fmt: skip

RELATIONS = (
    Case("a lamp to the left of a sofa", ("lamp", "sofa", "lamp left of sofa"), ("left", "lamp to")),
    Case("a goat stands in front of a red barn", ("goat", "red barn", "goat in front of barn"), ("front", "in front of")),
    Case("a green book on top of a stack of newspapers", ("green book", "stack of newspapers", "book on top of"), ("top",)),
    Case("two chairs next to a round table under a tree", ("two chairs", "round table", "chairs next to table"),
         ("next to",)),
    Case("an owl between two candles", ("owl", "two candles", "owl between candles"), ("between",)),
    Case("a boy on the left and a girl on the right", ("boy", "girl"), ("left and a girl", "left and girl")),
    Case("a red cat to the right of a blue cat", ("red cat", "blue cat", "red cat right of blue cat"), ("right",)),
    Case("The tower is taller than the church", ("tower", "church", "tower taller than church"), ("taller",)),
    Case("a teapot made of glass on a stove", ("teapot", "teapot made of glass", "stove"), ("made of",)),
    Case("a plate full of pancakes beside a jar of honey", ("plate", "pancakes", "jar of honey"), ("full",)),
)  # fmt: skip

ACTIVITIES = (
    Case("a chef slicing onions in a busy kitchen", ("chef", "onions", "chef slicing onions", "busy kitchen"),
         ("slicing",)),
    Case("an astronaut rides a horse through the desert", ("astronaut", "horse", "astronaut rides horse", "desert"),
         ("rides", "astronaut rides")),
    Case("A woman in a yellow raincoat is feeding ducks by a pond.",
         ("woman", "yellow raincoat", "ducks", "woman feeding ducks"), ("feeding ducks",)),
    Case("a dog chases a ball across the lawn", ("dog", "ball", "dog chases ball"), ("dog chases",)),
    Case("two children are building a sandcastle while their mother reads a magazine",
         ("two children", "sandcastle", "mother", "magazine", "children building sandcastle"), ("their",)),
    Case("a man and a woman dancing in the rain", ("man", "woman", "woman dancing", "rain"), ("dancing",)),
    Case("a firefighter carrying a child out of a burning house",
         ("firefighter", "child", "firefighter carrying child", "burning house"), ("out of",)),
    Case("an old fisherman mends his net on the pier", ("fisherman", "net", "pier"), ("his",)),
)  # fmt: skip

REFERENCES = (
    Case("A girl sits at a desk. She is holding a pencil.", ("girl", "desk", "pencil", "girl holding pencil"),
         ("she", "she holding pencil")),
    Case("two dogs, one black and the other white, in a meadow", ("two dogs", "black dog", "white dog", "meadow"),
         ("black", "white", "one black", "other white")),
    Case("A parrot with green feathers sits on a branch. It is eating a nut.",
         ("parrot", "green feathers", "branch", "nut", "parrot eating nut"), ("it",)),
    Case("Two men in suits shake hands. One is bald and the other has a beard.", ("two men", "suits", "beard"),
         ("one", "other", "the other")),
    Case("a knight and his horse; they stand before a castle gate", ("knight", "horse", "castle gate"), ("they", "his")),
)  # fmt: skip

TEXTS = (
    Case('a neon sign that says "OPEN LATE" above a door', ("OPEN LATE", "neon sign", "door"), ("that says", "open", "late")),
    Case("a birthday cake with the words 'Happy 40th' in blue icing", ("Happy 40th", "birthday cake", "blue icing"),
         ("words", "the words")),
    Case("a book titled “Stars and Stones” lying on a blanket", ("Stars and Stones", "book", "blanket"),
         ("stars", "stones", "titled")),
    Case('a protest banner reading "No more war" held by two students', ("No more war", "protest banner", "two students"),
         ("more war", "war", "reading")),
)  # fmt: skip

STYLES = (
    Case("watercolor painting of a lighthouse on a cliff", ("watercolor painting", "lighthouse", "cliff"),
         ("watercolor painting of a lighthouse",)),
    Case("A photo of a sleeping fox, bokeh, golden hour", ("fox", "sleeping fox", "golden hour"), ("a photo of",)),
    Case("red fox, snow, pine trees, oil painting, soft lighting",
         ("red fox", "snow", "pine trees", "oil painting", "soft lighting"), ("soft",)),
    Case("low-angle shot of a skyscraper, black and white photography", ("skyscraper", "black and white photography"),
         ("angle", "low", "white photography")),
    Case("isometric pixel art of a tiny bakery", ("bakery", "pixel art"), ("isometric pixel art of a tiny bakery",)),
    Case("a pencil sketch of an elderly violinist, cross-hatching", ("pencil sketch", "violinist"), ("of",)),
)  # fmt: skip

LONG = (
    Case("The image shows a cozy study in the late afternoon. A wooden desk stands by a tall window, and on the desk there "
         "is an open book next to a brass lamp. A grey cat sleeps on a green velvet armchair to the right of the desk. "
         "Behind the armchair, a bookshelf filled with old books covers the wall. On the floor lies a round rug with a "
         "red pattern. A globe stands on top of the bookshelf. Sunlight falls through the window, and dust floats in the "
         "air. A steaming cup of tea stands next to the book, and a pair of glasses lies on a newspaper. In the corner "
         "there is a fireplace with a small fire, and above the fireplace hangs a painting of a ship in a golden frame. "
         "A plant with broad leaves grows in a clay pot near the window. The walls are dark green, the ceiling is white, "
         "and a chandelier with five candles hangs from it. The scene is calm and warm, painted in the style of the Dutch "
         "masters with soft shadows. Through the window one can see a garden with two apple trees, a stone bench and a "
         "gravel path that leads to a small pond with three ducks.",
         ("wooden desk", "tall window", "open book", "brass lamp", "grey cat", "velvet armchair", "bookshelf", "round rug",
          "globe", "cup of tea", "fireplace", "clay pot", "chandelier", "five candles", "two apple trees", "stone bench",
          "three ducks"),
         ("it", "there", "one", "the image", "image")),
    Case("This picture depicts a bustling harbor market at sunrise. Fishermen in blue overalls unload crates of silver fish "
         "from a small red boat, and two women in headscarves sell lemons under a striped awning. A white seagull stands on "
         "a wooden post and watches a brown dog that is stealing a fish. In the background, a lighthouse rises above the "
         "fog, and several sailing boats lie at anchor. A boy on a yellow bicycle carries a basket of bread. On the right "
         "side, an old man with a pipe repairs a fishing net. The colors are warm, the light is soft.",
         ("fishermen", "blue overalls", "silver fish", "red boat", "two women", "headscarves", "lemons", "striped awning",
          "white seagull", "wooden post", "brown dog", "lighthouse", "boy", "yellow bicycle", "basket of bread", "old man",
          "pipe"),
         ("this picture", "picture", "that")),
    Case("a portrait of an elderly woman with silver hair and deep wrinkles, wearing a red knitted shawl and round glasses, "
         "sitting in a rocking chair by a window, holding a ball of wool, a tabby cat on her lap",
         ("elderly woman", "silver hair", "wrinkles", "knitted shawl", "round glasses", "rocking chair", "ball of wool",
          "tabby cat"),
         ("her", "wearing")),
)  # fmt: skip

TAGS = (
    Case("mountain lake, reflection, pine forest, wooden cabin, morning mist, canoe",
         ("mountain lake", "reflection", "pine forest", "wooden cabin", "morning mist", "canoe")),
    Case("cyberpunk city, rain, neon lights, woman with umbrella, reflections on asphalt",
         ("city", "rain", "neon lights", "woman", "umbrella", "reflections", "asphalt")),
    Case("robot, rusty, sitting on a bench, holding a flower", ("robot", "bench", "flower", "rusty"), ("holding",)),
    Case("🐱 on a 🛏️, cute", ("🐱", "🛏️", "cute")),
    Case("a 🦊 wearing a red scarf in the snow ❄️", ("🦊", "red scarf", "snow"), ("wearing",)),
)  # fmt: skip

LANGUAGES = (
    Case("一只红色的猫坐在木桌上，旁边有一个蓝色的花瓶", ("一只红色的猫", "木桌", "一个蓝色的花瓶"),
         ("一只红色的猫坐在木桌上,旁边有一个蓝色的花瓶", "旁边有一个蓝色的花瓶")),
    Case("两只黑色的狗在公园里，阳光明媚，油画风格", ("两只黑色的狗", "公园", "阳光明媚", "油画风格")),
    Case("写着「你好」的招牌，霓虹灯。雨夜的街道", ("你好", "招牌", "霓虹灯", "街道"), ("写着的招牌",)),
    Case("ｒｅｄ　ｃａｔ，２　ｄｏｇｓ", ("red cat", "2 dogs"), ("ｒｅｄ",)),
    Case("赤い猫が木のテーブルの上に座っている、青い花瓶", ("赤い猫", "木のテーブル", "青い花瓶")),
    Case("雪山を背景に立つ侍、浮世絵風、夕焼け", ("侍", "浮世絵風", "夕焼け")),
    Case("나무 탁자 위에 앉아 있는 빨간 고양이, 파란 꽃병", ("빨간 고양이", "파란 꽃병")),
    Case("قطة حمراء على طاولة خشبية، مزهرية زرقاء", ("قطة حمراء", "طاولة خشبية", "مزهرية زرقاء")),
    Case("un gato rojo sobre una mesa de madera y un jarrón azul", ("gato rojo", "mesa de madera", "jarrón azul"),
         ("un gato rojo sobre una mesa de madera y un jarrón azul",)),
    Case("¿Un perro grande junto a dos niños? Estilo acuarela.", ("perro grande", "dos niños", "Estilo acuarela")),
    Case("un chat noir sur un toit rouge, avec la lune derrière lui", ("chat noir", "toit rouge", "lune")),
    Case("eine alte Frau mit einem roten Regenschirm neben einem Brunnen", ("alte Frau", "roten Regenschirm", "Brunnen")),
    Case("una bambina con un palloncino giallo e un cane nero nel parco",
         ("bambina", "palloncino giallo", "cane nero", "parco")),
    Case("um barco azul sobre o mar e três gaivotas", ("barco azul", "mar", "três gaivotas")),
    Case("рыжий кот на деревянном столе и синяя ваза", ("рыжий кот", "деревянном столе", "синяя ваза")),
    Case("लकड़ी की मेज पर लाल बिल्ली और नीला फूलदान।", ("लकड़ी की मेज", "लाल बिल्ली", "नीला फूलदान")),
    Case("een rode fiets naast een witte muur met een kat", ("rode fiets", "witte muur", "kat")),
    Case("a red cat, 一只蓝色的狗, sunset", ("red cat", "一只蓝色的狗", "sunset")),
    Case("一个穿着T恤的男人 holding a wooden sign with two arrows", ("男人", "wooden sign", "two arrows")),
)  # fmt: skip

GROUPS: dict[str, tuple[Case, ...]] = {
    "attributes": ATTRIBUTES, "relations": RELATIONS, "activities": ACTIVITIES, "references": REFERENCES,
    "texts": TEXTS, "styles": STYLES, "long": LONG, "tags": TAGS, "languages": LANGUAGES,
}  # fmt: skip
