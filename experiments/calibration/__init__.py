"""How often the tests of `fairrecon_jax.inference` are wrong: size and power on simulated cohorts
with a known truth.
"""
