"""Drawn scenes as training data for the embedded judge.

Modules:
    training_scenes: a scene as training data, usual or varied.
    painted_text: texts painted into scenes.
    scene_dataset: draws scenes to disk and reads them back, or draws new ones as they are needed.
    target_tags: what a target token is about, and how much it weighs in the loss.
    batch: the tensors of a batch.
    rows: tokenizes tasks and lays them out in rows.
    spatial_targets: targets of the auxiliary losses, from the exact boxes of a scene.
    scene_batches: an endless stream of batches.
    loader: the same, prepared by other processes.

The room imports `finetune.nano.tasks` and `finetune.nano.network`, and the scenes and forms of `judge`.
"""
