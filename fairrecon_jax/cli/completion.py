"""Completion of commands, flags and their values by the shell."""

from __future__ import annotations

from absl import flags

from fairrecon_jax.cli.command import PROGRAM
from fairrecon_jax.cli.commands import COMMANDS

SHELLS = ("bash", "zsh")
BASH = r"""_{program}() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" words="" flag=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="{commands}"
  elif [[ $cur == --*=* || $before == --config ]]; then
    [[ $cur == --*=* ]] && flag="${{cur%%=*}}=" cur="${{cur#*=}}"
    [[ $flag == --config= || $before == --config ]] && words="{configurations}"
    COMPREPLY=($(compgen -P "$flag" -W "$words" -- "$cur"))
    # a line each: names of files may have blanks
    local IFS=$'\n'
    COMPREPLY+=($(compgen -P "$flag" -f -- "$cur"))
    [[ ${{#COMPREPLY[@]}} -eq 1 && -d ${{COMPREPLY[0]#$flag}} ]] && COMPREPLY[0]+=/ \
      && compopt -o nospace
    return
  else
    case "${{COMP_WORDS[1]}}" in
{cases}
      completion) words="{shells}" ;;
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
    """The script that a shell reads to complete commands, flags, names of configurations and files.

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
    # late: a version is told without it
    from fairrecon_jax.study.bundled import bundled

    cases = []
    for name, command in COMMANDS.items():
        values = flags.FlagValues()
        command.extra(values)
        shared = ("--config=", "--workdir=", "--verbose", "--help")
        own = [f"--{n}" + ("" if values[n].boolean else "=") for n in sorted(values)]
        cases.append(f'      {name}) words="{" ".join([*own, *shared])}" ;;')
    script = BASH.format(
        program=PROGRAM,
        commands=" ".join([*COMMANDS, "completion"]),
        configurations=" ".join(bundled()),
        cases="\n".join(cases),
        shells=" ".join(SHELLS),
    )
    start = "autoload -U +X bashcompinit && bashcompinit\n" if shell == "zsh" else ""
    return start + script
