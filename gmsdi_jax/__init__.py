"""GMSDI in JAX: one diffusion model of music, trained on mixtures, that separates and generates."""

__version__ = "0.1.0"
