#!/usr/bin/env bash
# Runs one study on one node of a Slurm cluster with all its accelerators (`fairrecon train` alone may use several nodes):
#   sbatch --nodes=1 experiments/launch/slurm.sh --config=configs/chexpert.py --config.cohort.root=DIR --workdir=DIR
# Killed by the time limit it saves its state; submitted again it continues.
#SBATCH --job-name=fairrecon
#SBATCH --ntasks-per-node=1
#SBATCH --signal=SIGTERM@120
#SBATCH --requeue
set -euo pipefail
exec srun fairrecon study "$@"
