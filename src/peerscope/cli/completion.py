"""The verb that teaches a shell to complete our verbs and options."""

from __future__ import annotations

import json

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_PEERSCOPE_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def completion(ctx: click.Context, shell: str, as_json: bool) -> None:
    """Print a script that completes verbs and options in SHELL.

    \b
    bash  peerscope completion bash > ~/.local/share/bash-completion/completions/peerscope
    zsh   peerscope completion zsh > "${fpath[1]}/_peerscope"
    fish  peerscope completion fish > ~/.config/fish/completions/peerscope.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None  # click knows these three
    made = kind(ctx.find_root().command, {}, "peerscope", VARIABLE)
    # Not `source()`: it asks the bash that is here for its version, but the script may be for another machine.
    text = made.source_template % made.source_vars()
    if as_json:
        click.echo(json.dumps({"shell": shell, "script": text}))
    else:
        click.echo(text)
