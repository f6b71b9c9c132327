"""Installs the package alone into a fresh environment and imports every module of it: undeclared
imports fail here.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

CHECK = """
import importlib, pkgutil, sys
import fairrecon_jax
walked = pkgutil.walk_packages(fairrecon_jax.__path__, "fairrecon_jax.")
names = [m.name for m in walked if not m.name.endswith(".__main__")]
for name in names:
    importlib.import_module(name)
assert "tensorflow" not in sys.modules, "TensorFlow was imported"
config = fairrecon_jax.configuration("quickstart_xray")
assert config.cohort.name == "chexpert", "the configurations did not travel with the package"
print(f"imported {len(names)} modules without test packages")
"""


def main() -> None:
    """Makes the environment in a temporary folder, installs, imports, asks the console script for
    its help.
    """
    source = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder, "bin", "python")
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(source)],
            check=True,
            cwd=folder,
        )
        subprocess.run([python, "-c", CHECK], check=True, cwd=folder)
        subprocess.run(
            [Path(folder, "bin", "fairrecon"), "--help"],
            check=True,
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )


if __name__ == "__main__":
    main()
