"""fairrecon_jax: assess what AI image reconstruction does to the diagnosis that follows it, and to
whom.
"""

__version__ = "0.1.0"
