"""LoRA fine-tuning of any Qwen-VL on labelled samples of any suites: `judge finetune lora --config FILE`.

`config` says what is asked for; `base` the model it starts from; `targets` turns labels into filled forms,
`rows` these into tokens; `losses` compares; `trainer` is transformers' own with that loss; `held` measures on
a suite; `run` is the whole, from a configuration to a folder with an adapter.
"""
