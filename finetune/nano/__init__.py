"""The embedded judge, trained from an empty folder: `python -m finetune.nano STEP` (see finetune/README.md).

Modules:
    cli: the commands.
    tokenizer: trains the byte-level BPE tokenizer.
    tasks: training prompts about a scene, with their answers.
    network: configuration and construction of the small Qwen3-VL.
    batched_forward: a fast forward pass over the modules of that model.
    losses: answer loss, auxiliary losses and attention losses.
    scene_training: the parts of a training on drawn scenes, on a GPU or on CPUs.
    trainer: settings, schedule, log, checkpoints and the training loop.
    workers: the optimizer that several processes share.
    evaluation: measures on held-out scenes during training.
    pretraining: pre-training of the base model.
    adapter_training: LoRA training of the judging adapter.
    export: writes the files of `judge/assets/nano`.
    data: the dataset of drawn scenes and its batches.
    video: the dataset of drawn clips and the adapter for the rubric `video`.

The room imports `judge` (scenes, rubrics, backends, media, evidence), and of `finetune` the pattern of the
language layers in `finetune.lora.config`.
"""
