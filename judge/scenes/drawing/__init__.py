"""Drawing scenes: figures, painting, and damage.

A scene is painted on a canvas: a float32 array (H, W, 3), RGB, 0 to 255.

- `polygons`: polygons, and the parts that figures consist of
- `shapes`: the parts of plain shapes (circle, star, ...)
- `figures`: the parts of figures (person, cat, car, ...), and the builders of all object kinds
- `painting`: backgrounds, drawing styles, and painting one part
- `objects`: which objects a scene has, where they are, and how they are posed
- `defects`: local damage with the exact mask of the changed pixels
- `degradations`: damage to the whole image

The rules for random numbers: every function takes its source as an argument. The order of the draws
is part of the format of a scene: a seed must always give the same pixels.

It imports `judge.scenes.scene_facts` and `judge.scenes.vocabulary`.
"""
