"""The commands of the console script, in the order in which a study needs them."""

from __future__ import annotations

from textwrap import indent

from fairrecon_jax.cli import flag_sets
from fairrecon_jax.cli.command import Command, no_folder, workdir_of

ASSESS = """
Needs `predict`, and `mitigate` where the study has mitigations. Writes
<workdir>/predictions.parquet, results/performance.csv and results/fairness.csv from the study's
predictions, or assesses a table of predictions made elsewhere and writes the report too.

  fairrecon assess --config=configs/lgg_mri.py --workdir=runs/lgg
  fairrecon assess --predictions=table.csv --init --mapping=columns.yaml
  fairrecon assess --predictions=table.csv --mapping=columns.yaml --workdir=runs/mine

A table is a CSV (any separator, UTF-8, UTF-16 or Latin-1), an Excel sheet or a parquet file, one
row per image. Its cells are read as text and mean what the mapping says; what cannot be used is
counted and said. A mapping is a YAML file with these keys, of which "tasks" alone is needed:

"""


def assess_text() -> str:
    """What `assess` reads and writes, with the keys of a mapping."""
    # late: the reader of tables is slow to import, and no other command's help needs it
    from fairrecon_jax.study.table import SCHEMA

    return ASSESS + indent(SCHEMA, "  ")


COMMANDS = {
    "phantom": Command(
        "write a phantom cohort in the layout of CheXpert or UCSF-PDGM",
        """
Writes radiographs (--kind=xray) or FLAIR brains (--kind=brain) with known findings, groups and
planted gap, in the file layout of CheXpert or UCSF-PDGM, and ground_truth.json. With --config
kind and knobs are those of config.phantom, where no flag says otherwise.

  fairrecon phantom --kind=xray --patients=200 --size=128 --root=runs/phantom_xray
""",
        "fairrecon_jax.cli.actions:phantom",
        flag_sets.phantom_flags,
        together=False,
        folder=no_folder,
    ),
    "init": Command(
        "write a first configuration from a table and a folder of images of your own",
        """
Looks at the columns of a CSV or Excel file and at some of the images (PNG, JPEG, TIFF, DICOM,
NIfTI) and writes a commented configuration of the cohort "table": images, patients, masks,
findings, attributes. Read it and correct it; `doctor`, `prepare` and `study` take it as it is.

  fairrecon init --images=export/images --table=export/exams.csv --output=my_study.py
""",
        "fairrecon_jax.cli.own_images:init",
        flag_sets.init_flags,
        together=False,
        folder=no_folder,
    ),
    "pairs": Command(
        "assess reconstructions that something else made, image by image",
        """
Takes originals and reconstructions of them (8 or 16 bits, files of equal names or a column of the
table), trains diagnosers on originals alone, reads both versions and writes the report with example
panels. Nothing is degraded and no reconstructor is trained. What was read from the table stands in
<workdir>/pairs.py: correct it and run `fairrecon study --config=<workdir>/pairs.py`.

  fairrecon pairs --table=export/exams.csv --images=export/images \\
      --reconstructions=export/vendor --workdir=runs/vendor
""",
        "fairrecon_jax.cli.own_images:pairs",
        flag_sets.pairs_flags,
        folder=lambda values: workdir_of(values, "runs/pairs"),
    ),
    "doctor": Command(
        "read a cohort's tree and list what is missing, unreadable, inconsistent or leaking",
        """
Reads every file of config.cohort.root as `prepare` would and writes nothing. Exit code 2 where
there are errors.

  fairrecon doctor --config=configs/nih_chestxray14.py --config.cohort.root=DIR
""",
        "fairrecon_jax.cli.actions:doctor",
        together=False,
        folder=no_folder,
    ),
    "prepare": Command(
        "read a tree into the prepared cohort and write the patient splits",
        """
Writes <workdir>/cohort and <workdir>/splits.json, once.

  fairrecon prepare --config=configs/lgg_mri.py --config.cohort.root=DIR --workdir=runs/lgg
""",
        "fairrecon_jax.cli.actions:prepare",
        together=False,
    ),
    "train": Command(
        "train a reconstructor or a diagnoser, or all of them",
        """
Needs `prepare`. Continues where it was killed. Writes <workdir>/reconstructors/<name>/<level> or
<workdir>/diagnosers/<name>.

  fairrecon train --config=configs/lgg_mri.py --config.cohort.root=DIR --workdir=runs/lgg \\
      --model=unet --level=8
""",
        "fairrecon_jax.cli.actions:train",
        flag_sets.model_flags,
    ),
    "mitigate": Command(
        "fine-tune trained reconstructors so that the diagnosis treats groups more alike",
        """
Needs `train`, and `predict` where the block lists several weights. Fine-tunes from the trained
weights, on training patients (tuned_on = "val": validation patients), as
config.mitigations.<name> says; the diagnosers stay frozen.
Continues where it was killed. Then predicts and, where the block lists several weights, chooses
one on validation patients: the smallest mean gap among those that lose no more than
psnr_tolerance and task_tolerance. Writes <workdir>/mitigated/<name>/<reconstructor>/<level> (with
@<weight> behind the name for each weight tried) and
<workdir>/predictions/<reconstructor>__<level>__<name>.parquet.
Kinds: reweighting, equalised_odds, adversarial, group_dro. In the configuration:

  from fairrecon_jax.defaults import mitigation
  c.mitigations.eodd = mitigation(
      "equalised_odds", steps=500, batch_size=16, learning_rate=1e-4, weights=(0.1, 1.0, 10.0))

  fairrecon mitigate --config=configs/my_study.py --workdir=runs/mine --mitigation=eodd \\
      --reconstructor=unet --level=10000
""",
        "fairrecon_jax.cli.actions:mitigate",
        flag_sets.mitigate_flags,
    ),
    "import-weights": Command(
        "use PyTorch weights of a reconstructor or diagnoser instead of training it",
        """
Reads state dicts into the reconstructor --model or the diagnoser --diagnoser of the configuration,
whose fields must describe the network, and writes <workdir>/reconstructors/<name>/<level>/final, at
one level or at all, or <workdir>/diagnosers/<name>/final: as a training does. Names every key that
is missing, left over, of another shape or not finite. Pix2Pix takes the generator alone, or
generator and discriminator as two files. A study trains nothing that has imported weights; the
fields config.reconstructors.NAME.weights and config.diagnosers.NAME.weights make the import a part
of the study.

  fairrecon import-weights --config=configs/lgg_mri.py --workdir=runs/lgg --model=pix2pix \\
      --level=8 --weights=net_G.pth,net_D.pth
  fairrecon import-weights --config=configs/paper/chexpert.py --workdir=runs/chexpert \\
      --diagnoser=findings --weights=densenet121.pth
""",
        "fairrecon_jax.cli.actions:import_weights",
        flag_sets.import_flags,
    ),
    "reconstruct": Command(
        "write reconstructed images",
        """
Needs `train`. Writes 16-bit PNG files, degraded and reconstructed, to
<workdir>/reconstructions/<name>/<level>/.

  fairrecon reconstruct --config=configs/lgg_mri.py --workdir=runs/lgg --model=unet --level=8
""",
        "fairrecon_jax.cli.actions:reconstruct",
        flag_sets.reconstruct_flags,
    ),
    "predict": Command(
        "run the tandem step over validation and test",
        """
Needs `train`. Degrades, reconstructs and diagnoses original and reconstruction; writes
<workdir>/predictions/. Mitigated reconstructors are predicted with by `mitigate`.

  fairrecon predict --config=configs/lgg_mri.py --workdir=runs/lgg
""",
        "fairrecon_jax.cli.actions:predict",
        flag_sets.predict_flags,
    ),
    "assess": Command(
        "performance and fairness of predictions, a study's or anyone's",
        assess_text,
        "fairrecon_jax.cli.actions:assess",
        flag_sets.assess_flags,
        folder=lambda values: (
            None if values.init else workdir_of(values, "runs/assess" if values.predictions else "")
        ),
    ),
    "merge": Command(
        "join finished studies of several training seeds and judge methods, not only networks",
        """
Needs `assess` in each of them. Stacks the predictions of work directories that assessed the same
images with networks of other training seeds, assesses them together and writes the report: beside
the verdict on each network one on each method, with the spread between its trainings. The options
of the assessment are those of --config, or the defaults. Within one study the same comes from
--config.seeds=(0,1,2).

  fairrecon merge --workdirs=runs/seed0,runs/seed1,runs/seed2 --workdir=runs/merged
""",
        "fairrecon_jax.cli.actions:merge",
        flag_sets.merge_flags,
        folder=lambda values: workdir_of(values, "runs/merged"),
    ),
    "report": Command(
        "write the report of a study whose results are there",
        """
Needs `assess`. Writes <workdir>/report/index.html with figures (PNG, PDF) and tables (CSV, LaTeX).
With --style=paper it writes tables 1 to 8 and figures 2 to 20 of the paper instead, with the
paper's values beside them and a list of the rows behind each: of one work directory into
<workdir>/paper, or of both cohorts together.

  fairrecon report --config=configs/lgg_mri.py --workdir=runs/lgg
  fairrecon report --style=paper --workdirs=runs/chexpert,runs/ucsf_pdgm --workdir=runs/paper
""",
        "fairrecon_jax.cli.actions:report",
        flag_sets.report_flags,
    ),
    "plan": Command(
        "the stages of a study: what is done, what would be made and why; makes nothing",
        """
With --json for another program, such as the scheduler of a cluster: every stage with the stages it
needs, its state, the seconds it may take and the file or folder it makes.
`fairrecon study --only=STAGE` makes one of them.

  fairrecon plan --config=quickstart_xray --workdir=runs/quick
  fairrecon plan --config=quickstart_xray --workdir=runs/quick --json
""",
        "fairrecon_jax.cli.actions:plan",
        flag_sets.plan_flags,
        folder=no_folder,
    ),
    "study": Command(
        "all of it, from one configuration; skips what is done, continues what was killed",
        """
Makes phantom, cohort, splits, trainings, predictions, assessment and report, and says which stage
it is in and how long is left. With --dry_run it says what would be made and why, as `plan` does,
with --verify whether every file is still as it was written, which ends with code 2 where one is not
or where a stage is not finished; neither makes anything. With --only it makes one stage, unless
that is done. Several studies at once in one work directory take turns: what one makes the others
wait for, and never make again.

  fairrecon study --config=configs/nih_chestxray14.py --config.cohort.root=DIR --workdir=runs/nih
  fairrecon study --config=quickstart_xray --workdir=runs/quick --dry_run

One process uses all accelerators of its machine. Several processes, on one machine or many, train
and predict together; process 0 does the rest alone and it alone writes and prints. The work
directory must lie on a disk that all of them see, and batch_size, eval_batch_size and
tandem.batch_size must be multiples of the number of all accelerators. With Slurm or Open MPI, one
process a node:

  srun --nodes=2 --ntasks-per-node=1 --gpus-per-node=4 --kill-on-bad-exit=1 fairrecon study \\
      --config=FILE --workdir=DIR
  mpirun -n 2 --map-by ppr:1:node fairrecon study --config=FILE --workdir=DIR

By hand, on each machine with its own JAX_PROCESS_ID (0 on the machine named in the address):

  JAX_COORDINATOR_ADDRESS=HOST:1234 JAX_NUM_PROCESSES=2 JAX_PROCESS_ID=0 fairrecon study \\
      --config=FILE --workdir=DIR
""",
        "fairrecon_jax.cli.actions:study",
        flag_sets.study_flags,
        folder=lambda values: None if values.dry_run or values.verify else workdir_of(values),
    ),
}
