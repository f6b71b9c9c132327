"""What `fairrecon` says of itself: its commands, and how they are called."""

from __future__ import annotations

from fairrecon_jax.cli.commands import COMMANDS

INTRODUCTION = """fairrecon: assess what AI image reconstruction does to the diagnosis that follows
it, and to whom.

usage: fairrecon <command> --config=FILE [--config.field=value ...] [--workdir=DIR] [flags]

commands, in the order in which a study needs them:
{commands}

`fairrecon <command> --help` says what a command reads and writes and shows an example.
Configurations are Python files, or names of those that come with the package (--config=chexpert);
any field can be set on the command line, e.g. --config.cohort.root=DIR or
--config.reconstructors.unet.train.steps=100; a field that does not exist is refused. Tuples are
written --config.degradation.levels="(4, 8)".

`fairrecon --version` says which version this is; `eval "$(fairrecon completion bash)"` (or zsh)
lets the shell complete commands and flags.
"""
SUMMARIES = {
    **{name: command.summary for name, command in COMMANDS.items()},
    "completion": "print the script by which a shell completes commands and flags",
}
"""What every command does, in a line."""


def overview() -> str:
    """The commands with a line each, and how they are called.

    Example:
      >>> [line.split()[0] for line in overview().splitlines() if "shell completes" in line]
      ['completion']
    """
    width = max(map(len, SUMMARIES))
    listed = "\n".join(f"  {name:<{width}}  {text}" for name, text in SUMMARIES.items())
    return INTRODUCTION.format(commands=listed)
