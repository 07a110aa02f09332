"""LoRA fine-tuning of any Qwen-VL on labelled samples of any suites: `judge finetune lora --config FILE`.

Modules:
    config: the configuration.
    base_model: checks the base from its files, and loads it with an adapter.
    targets: turns the labels of a suite into filled forms.
    encoding: encodes filled forms as rows of tokens, and rows as batches.
    dataset: the training dataset and its sampler.
    losses: the losses, each with its source.
    trainer: `transformers.Trainer` with these losses.
    evaluation: measures on a suite's held-out samples with the backend that serves.
    memory: estimates the memory that a run needs.
    run: a run from its configuration to a folder.
    curves: plots losses and measures.
    model_card: writes a model card from a run.
    merging: merges an adapter into its base.

The room imports `eval.suites`, `finetune.config` and `finetune.run_folders`, and `judge`.
"""
