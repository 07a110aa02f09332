"""Prompts in the syntax of generators, with negation and as instructions, and what a person would ask.

All prompts were written for these tests.
"""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """One prompt. Phrases are compared by their content words."""

    prompt: str
    asked: tuple[str, ...] = ()
    """What must be asked as an element that must be there: some element has all words of the phrase."""
    absent: tuple[str, ...] = ()
    """What must be asked as an element that must not be there."""
    never: tuple[str, ...] = ()
    """Words that no element may have, junk or inverted: those that must be there, unless after a "-", and
    those that must not be there if after a "-"."""
    negative_prompt: str = ""


WEIGHTS = (
    Case("(a lighthouse on a cliff:1.3), (stormy sea:1.1), seagulls",
         ("lighthouse", "cliff", "stormy sea", "seagulls"), never=("1.3", "1.1", "(", ")")),
    Case("((a golden retriever)) in a (red scarf), [snowy park]",
         ("golden retriever", "red scarf", "snowy park"), never=("(", "[")),
    Case("a [black|white] swan on a lake", ("black or white swan", "lake"), never=("|", "[")),
    Case("a [castle:ruin:0.6] above a valley", ("castle or ruin", "valley"), never=("0.6", "0")),
    Case("a wooden bridge, [fog::0.4], (a fisherman:1.2) in a boat",
         ("wooden bridge", "fisherman", "boat"), never=("0.4", "1.2", "::")),
    Case("a violin on a chair BREAK a vase with tulips BREAK yellow wallpaper",
         ("violin", "chair", "vase", "tulips", "yellow wallpaper"), never=("break",)),
    Case("a stone tower :1.2 AND a wheat field :0.8 AND people :-0.7",
         ("stone tower", "wheat field"), ("people",), ("and", "1.2", "0.8", "-stone")),
    Case("portrait of an old sailor <lora:salty_v2:0.8>, pipe, <hypernet:ink:1>, embedding:wrinkles_v1",
         ("old sailor", "pipe"), never=("lora", "salty", "hypernet", "ink", "embedding", "wrinkles")),
    Case("link \\(zelda\\), green tunic, (pointy ears:1.15), <lyco:hero:0.6>",
         ("link", "green tunic", "pointy ears"), never=("\\", "lyco", "1.15")),
    Case("a bowl of oranges, (text, watermark:-1.2), wooden table",
         ("oranges", "wooden table"), ("text", "watermark"), ("1.2",)),
    Case("（一只白猫：1.3），木桌", ("一只白猫", "木桌"), never=("1.3", "（")),
    Case("(((three sunflowers))) in a [[blue vase]], {white tablecloth}",
         ("three sunflowers", "blue vase", "white tablecloth"), never=("(", "{", "[")),
)  # fmt: skip

QUALITY = (
    Case("masterpiece, best quality, 8k, a fox in a birch forest, trending on artstation",
         ("fox", "birch forest"), never=("masterpiece", "quality", "8k", "artstation")),
    Case("oil painting of a harbor at dawn, highly detailed, sharp focus, by Claude Monet",
         ("harbor", "oil painting"), never=("detailed", "focus", "monet")),
    Case("a 4k monitor and a keyboard on a desk", ("4k monitor", "keyboard", "desk")),
    Case("award winning photo, a hummingbird near a red flower, shot on Canon EOS R5, 85mm, f/1.8",
         ("hummingbird", "red flower"), never=("award", "canon", "85mm", "1.8")),
    Case("score_9, score_8_up, score_7_up, source_anime, rating_safe, one girl, silver_hair, school_uniform",
         ("girl", "silver hair", "school uniform"), never=("score", "source", "rating", "_")),
    Case("1girl, solo, looking at viewer, {{green eyes}}, {ponytail}, umbrella, very aesthetic, absurdres",
         ("girl", "green eyes", "ponytail", "umbrella"), never=("solo", "absurdres", "1girl", "{")),
    Case("2boys, baseball_cap, baseball_bat, stadium, year 2023, newest",
         ("two boys", "baseball cap", "baseball bat", "stadium"), never=("2023", "newest", "2boys")),
    Case("a quiet library with tall windows, unreal engine 5, octane render, ultra realistic 8k uhd",
         ("library", "tall windows"), never=("engine", "octane", "uhd")),
    Case("杰作，最佳质量，8k，一座红色的桥", ("一座红色的桥",), never=("杰作", "最佳质量", "8k")),
    Case("a red bicycle against a brick wall, professional photography, stunning, intricate details",
         ("red bicycle", "brick wall"), never=("stunning", "professional", "intricate")),
)  # fmt: skip

PARAMETERS = (
    Case("/imagine prompt: a teapot shaped like an elephant --ar 16:9 --v 6.1 --style raw --s 250",
         ("teapot",), never=("imagine", "16:9", "raw", "250", "ar")),
    Case("https://example.com/ref.png a paper boat in a puddle --iw 2 --no people, text --chaos 20",
         ("paper boat", "puddle"), ("people", "text"), ("https", "png", "chaos", "iw", "-puddle")),
    Case("space station::2 nebula::1 astronauts::-0.5", ("space station", "nebula"), ("astronauts",), ("::",
         "2")),
    Case("a lemon tree in a courtyard --seed 42 --tile --no cats --q 2", ("lemon tree", "courtyard"),
         ("cats",),
         ("42", "seed", "tile")),
    Case("a knight on a white horse —ar 3:2 --niji 6 --sref 123 456", ("knight", "white horse"),
         never=("3:2", "niji", "123", "456")),
    Case("a {red, yellow} kite over a beach --v 6", ("red or yellow kite", "beach"), never=("{", "v")),
    Case("a {wooden|stone} cabin beside a __place__", ("wooden or stone cabin",), never=("{", "__", "place")),
    Case("a {2$$rose|lily|daisy} in a glass --w 512 --h 512", ("rose or lily or daisy", "glass"),
         never=("$$", "512")),
    Case("hot air balloon::3 mountains::1 --no clouds --ar 1:1", ("hot air balloon", "mountains"),
         ("clouds",),
         ("1:1", "-balloon")),
)  # fmt: skip

METADATA = (
    Case("a violinist on a bridge\nNegative prompt: umbrella, (worst quality:1.4), lowres, bad hands\n"
         "Steps: 30, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 12, Size: 512x768, Model hash: 6ce0161689",
         ("violinist", "bridge"), ("umbrella",), ("steps", "sampler", "seed", "512x768", "-quality",
          "-lowres")),
    Case("a cactus in a clay pot, desert Negative prompt: flowers, snow Steps: 20, Sampler: Euler, Seed: 5",
         ("cactus", "clay pot", "desert"), ("flowers", "snow"), ("euler", "steps")),
    Case("Prompt: a tram in the rain\nNegative prompt: cars\nSteps: 25, Seed: 9", ("tram",), ("cars",),
         ("prompt", "seed")),
    Case("a sheep on a hill", ("sheep", "hill"), ("fence", "wolf"), ("-quality", "-blurry"),
         negative_prompt="fence, wolf, blurry, worst quality, jpeg artifacts"),
    Case("two chairs by a window", ("two chairs", "window"), ("curtain", "lamp"), ("-easynegative",),
         negative_prompt="(curtain:1.3), [lamp], EasyNegative, lowres, bad anatomy"),
)  # fmt: skip

STRUCTURE = (
    Case('{"subject": "a brown bear", "setting": "a river with salmon", "style": "watercolor"}',
         ("brown bear", "river", "salmon"), never=("subject", "setting", "{", '"')),
    Case('{"objects": [{"name": "apple", "color": "green", "count": 3}, {"name": "pan", "material": "tin"}],'
         ' "background": "white", "negative_prompt": "plate", "steps": 30, "seed": 7}',
         ("three green apples", "tin pan", "white background"), ("plate",), ("objects", "30", "name")),
    Case('```json\n{"scene": {"main": "a windmill", "sky": "orange"}, "people": false}\n```',
         ("windmill", "orange sky"), ("people",), ("json", "scene", "main")),
    Case("Subject: a ceramic cat\nBackground: green\nLighting: soft\nAvoid: text, hands\nAspect ratio: 1:1",
         ("ceramic cat", "green background", "soft lighting"), ("text", "hands"), ("subject", "1:1",
          "avoid")),
    Case("1. a blue door\n2. a cat on the step\n3. ivy on the wall", ("blue door", "cat", "step", "ivy",
         "wall"),
         never=("1", "2", "3")),
    Case("1) a sailboat 2) a lighthouse 3) a rising sun", ("sailboat", "lighthouse", "sun"), never=("1",
         "2)")),
    Case("- a pumpkin\n- a candle\n* an owl", ("pumpkin", "candle", "owl"), never=("-a", "*")),
    Case("# Prompt\n**A robot** watering *plants* in a [greenhouse](https://example.com/g)",
         ("robot", "plants", "greenhouse"), never=("#", "*", "https", "prompt")),
    Case("<p>a yellow submarine</p><ul><li>a diver</li><li>coral &amp; fish</li></ul>",
         ("yellow submarine", "diver", "coral", "fish"), never=("<", "li", "amp")),
    Case("a green bottle\na slice of bread\na wedge of cheese", ("green bottle", "slice of bread", "cheese")),
    Case("### Scene\n- **Subject:** a blacksmith\n- **Setting:** a forge\n### Negative\n- smoke",
         ("blacksmith", "forge"), ("smoke",), ("subject", "setting", "*", "#")),
    Case("['a parrot', 'a palm tree']", ("parrot", "palm tree"), never=("[", "'")),
)  # fmt: skip

NEGATION = (
    Case("a beach without people at sunset", ("beach", "sunset"), ("people",), ("without", "people")),
    Case("an empty street, no cars, no shops", ("empty street",), ("cars", "shops"), ("no",)),
    Case("a kitchen with neither a table nor chairs", ("kitchen",), ("table", "chairs"), ("table", "chairs")),
    Case("a snowman with a scarf instead of a hat", ("snowman", "scarf"), ("hat",), ("hat", "instead")),
    Case("a portrait of a woman who is not wearing glasses", ("woman",), ("glasses",), ("glasses",)),
    Case("a cloud-free sky over a wheat field", ("sky", "wheat field"), ("cloud",), ("free", "cloud")),
    Case("a tree. Do not include birds or nests.", ("tree",), ("birds", "nests"), ("include", "birds")),
    Case("the house doesn't have a chimney", ("house",), ("chimney",), ("chimney", "doesn")),
    Case("a plate with no food on it", ("plate",), ("food",), ("no", "food")),
    Case("a forest with no animals, people, or roads", ("forest",), ("animals", "people", "roads"),
         ("animals",)),
    Case("a cat, not a dog, on a sofa", ("cat", "sofa"), ("dog",), ("dog", "not")),
    Case("a house without windows and a tree", ("house", "tree"), ("windows",), ("windows", "-tree")),
    Case("a desk free of clutter with a lamp", ("desk", "lamp"), ("clutter",), ("clutter", "-lamp")),
    Case("a chess board, never a clock", ("chess board",), ("clock",), ("clock", "never")),
    Case("a sign that says 'NO ENTRY'", ("no entry",)),
    Case("a no smoking sign on a door", ("sign", "door"), never=("-smoking",)),
    Case("not only a cat but also a canary", ("cat", "canary"), never=("only", "-cat", "-canary")),
    Case("a meadow, there is nobody in sight", ("meadow",), ("people",), ("nobody",)),
    Case("a bowl of soup; avoid spoons", ("soup",), ("spoons",), ("spoons", "avoid")),
    Case("没有人的海滩", ("海滩",), ("人",), ("没有",)),
    Case("一辆红色的自行车，不要文字，无水印", ("一辆红色的自行车",), ("文字", "水印"), ("不要", "文字")),
    Case("赤い車、人なし", ("赤い車",), ("人",), ("なし",)),
    Case("una playa sin gente", ("playa",), ("gente",), ("sin", "gente")),
    Case("une rue sans voitures ni vélos", ("rue",), ("voitures", "vélos"), ("sans", "voitures")),
    Case("ein Garten ohne Zaun", ("garten",), ("zaun",), ("ohne", "zaun")),
    Case("пляж без людей", ("пляж",), ("людей",), ("без", "людей")),
)  # fmt: skip

EDITS = (
    Case("replace the red car with a bicycle, keep the house", ("bicycle", "house"), ("red car",),
         ("car", "replace", "keep", "-bicycle")),
    Case("Remove the lamp and the chair from the room.", (), ("lamp", "chair"), ("remove", "lamp")),
    Case("change the color of the shirt from blue to green", ("green shirt",), ("blue shirt",), ("change",
         "color")),
    Case("turn the dog into a wolf", ("wolf",), ("dog",), ("dog", "turn")),
    Case("add a kite to the sky and delete the bird", ("kite",), ("bird",), ("bird", "delete", "add")),
    Case("swap the pear for a lemon; leave everything else as it is", ("lemon",), ("pear",),
         ("pear", "swap", "everything")),
    Case("Change the background to a bamboo forest. Do not change the panda.", ("bamboo forest", "panda"), (),
         ("change", "-panda")),
    Case("把苹果换成香蕉，保持盘子不变", ("香蕉", "盘子"), ("苹果",), ("换成", "苹果")),
)  # fmt: skip

PLAIN = (
    Case("a cat (orange) next to a clock at 10:30", ("cat", "clock"), never=("30", "-cat")),
    Case("a film still in 16:9, two detectives :) in an office", ("two detectives", "office"), never=("9",)),
    Case("a poster that reads 'SALE (50%:2) --no returns'", ("sale (50%:2) --no returns",),
         never=("-returns",)),
    Case("a laptop that shows https://example.com/a_b?c=1", ("laptop",), never=("c",)),
    Case("John (left) and Mary (right) play chess", ("john", "mary", "chess"), never=("-john",)),
)  # fmt: skip

GROUPS = {
    "weights": WEIGHTS, "quality": QUALITY, "parameters": PARAMETERS, "metadata": METADATA,
    "structure": STRUCTURE, "negation": NEGATION, "edits": EDITS, "plain": PLAIN,
}  # fmt: skip
"""Style of the prompts -> prompts."""
