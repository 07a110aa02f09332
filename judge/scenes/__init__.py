"""Drawn scenes and clips with exact ground truth, and distortions of photographs.

Demo, web page, benchmarks and training draw their material here. The same seed always gives the same pixels
and labels.

- `vocabulary`: the words that scenes are described with
- `scene_facts`: the ground truth of a scene and the formula of its score
- `scene`: draws one scene with its defects and degradation
- `labels`: elements, prompt and labelled sample of a scene
- `drawing`: figures, painting and damage
- `shifted_scenes`: scenes with a new kind of defect and a stricter score
- `large_scenes`: scenes far larger than the input of a model, with one small defect
- `crops`: parts of large scenes
- `held_out`: scenes that no training set contains
- `examples`: example scenes for the demo and the web page
- `clips`: short videos with faults in time
- `video_encoding`: frames to MP4
- `dataset`: writes scenes, clips and crops to a directory
- `distortions`: functions that distort a photograph with an exact strength
- `distorted_photos`: randomly distorted photographs with ground truth

It imports `judge.media.regions`, `judge.rubrics.templates`, `judge.runtime` and `judge.types`.
"""

from judge.scenes.dataset import make_contact_sheet, write_scenes
from judge.scenes.drawing.painting import Finish
from judge.scenes.labels import label_scene, make_elements, write_prompt
from judge.scenes.scene import Scene, draw_scene, draw_undamaged_scene
from judge.scenes.scene_facts import SceneFacts

__all__ = [
    "Finish",
    "Scene",
    "SceneFacts",
    "draw_scene",
    "draw_undamaged_scene",
    "label_scene",
    "make_contact_sheet",
    "make_elements",
    "write_prompt",
    "write_scenes",
]
