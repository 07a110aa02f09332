"""Reinforcement of a judge by rewards that can be checked: `judge finetune rl CONFIG --out DIR`.

Modules:
    config: the configuration.
    sampling: samples a form under its grammar, token by token.
    rollouts: samples a group of answers for each image.
    rewards: compares an answer with the truth, part by part, each with its source.
    scoring: turns rewards into advantages of single decisions.
    policy: the log-probabilities of the sampled answers, all answers about an image in one pass.
    objective: the loss: clipping, divergence from the reference, exact expectations.
    examples: the images: new drawn scenes, failed ones, rows of suites.
    drift: numbers that move if a reward is hacked.
    trainer: the training loop, and why it is not that of trl.
    run: a run from its configuration to a folder.
    curves: plots rewards, drift and the held-out measure.

The room imports `finetune.lora`, `finetune.config` and `finetune.run_folders`, `eval.suites` and
`eval.metrics`, and `judge`.
"""
