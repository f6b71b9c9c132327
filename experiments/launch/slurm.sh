#!/usr/bin/env bash
# Runs one study on one or several nodes of a Slurm cluster, one process a node with all its accelerators:
#   sbatch --nodes=2 --gpus-per-node=4 experiments/launch/slurm.sh --config=configs/paper/chexpert.py --config.cohort.root=DIR --workdir=DIR
# The processes train and predict together; process 0 does the rest alone while the others wait, and it alone writes. WORKDIR must lie on
# a disk that all nodes see, and batch sizes must be multiples of the number of accelerators (here 8).
# Killed by the time limit it saves its state; submitted again it continues, with any number of nodes.
#SBATCH --job-name=fairrecon
#SBATCH --ntasks-per-node=1
#SBATCH --signal=SIGTERM@120
#SBATCH --requeue
set -euo pipefail
exec srun --kill-on-bad-exit=1 fairrecon study "$@"
