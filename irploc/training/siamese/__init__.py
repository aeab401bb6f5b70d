"""The Siamese network: absolute poses of two photos and the relative pose between them, trained together.

Source: Kim and Ko, "Camera localization with Siamese neural networks using iterative relative pose estimation", 2022.
"""
