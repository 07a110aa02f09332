"""Examples of training and repairing image generators with the judge as a reward.

grpo_svg   a small language model learns to draw SVG by GRPO (TRL)
refl       a UNet learns to draw undamaged images by the judge's gradient (ReFL)
repair     an inpainting pipeline repairs what the judge finds broken
"""
