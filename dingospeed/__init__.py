"""A self-hosted mirror of the Hugging Face Hub."""

__version__ = "0.1.0"
