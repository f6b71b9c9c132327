"""Completion of commands and flags by the shell."""

from __future__ import annotations

from absl import flags

from fairrecon_jax.cli.command import PROGRAM
from fairrecon_jax.cli.commands import COMMANDS

SHELLS = ("bash", "zsh")
BASH = r"""_{program}() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="{commands}"
  else
    case "${{COMP_WORDS[1]}}" in
{cases}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  # a flag goes on with its value
  [[ ${{#COMPREPLY[@]}} -eq 1 && ${{COMPREPLY[0]}} == *= ]] && compopt -o nospace
}}
# = stays within a word, so that --config= is one
COMP_WORDBREAKS=${{COMP_WORDBREAKS//=}}
complete -o default -F _{program} {program}
"""


def completion(shell: str) -> str:
    """The script that a shell reads to complete the commands and flags.

    Args:
      shell: "bash" or "zsh".

    Raises:
      ValueError: another shell.

    Example:
      >>> "predict) words=" in completion("bash")
      True
    """
    if shell not in SHELLS:
        raise ValueError(f"completion is for {' and '.join(SHELLS)}, not {shell!r}")
    cases = []
    for name, command in COMMANDS.items():
        values = flags.FlagValues()
        command.extra(values)
        shared = ("--config=", "--workdir=", "--verbose", "--help")
        own = [f"--{n}" + ("" if values[n].boolean else "=") for n in sorted(values)]
        cases.append(f'      {name}) words="{" ".join([*own, *shared])}" ;;')
    script = BASH.format(program=PROGRAM, commands=" ".join(COMMANDS), cases="\n".join(cases))
    start = "autoload -U +X bashcompinit && bashcompinit\n" if shell == "zsh" else ""
    return start + script
