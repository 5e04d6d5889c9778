"""The command line's usage and options, asked from the program itself.

``{command} train`` shows one command; ``{command} explain`` the group, and every command in it
under a heading of its own.
"""

from __future__ import annotations

import re
from typing import Any

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from minisegnet.cli import cli

_DEFAULT = re.compile(r"\s*\[(default: .*|required)\]$", re.DOTALL)


class Command(SphinxDirective):
    """What a command says about itself."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Help, usage and options; then, for a group, its commands."""
        name = self.arguments[0]
        command = cli.commands.get(name)
        if command is None:
            raise self.error(f"there is no command {name!r}: {', '.join(cli.commands)}")
        context = click.Context(cli, info_name="minisegnet")
        return _described(command, name, context)


def _described(command: click.Command, name: str, parent: click.Context) -> list[nodes.Node]:
    context = click.Context(command, info_name=name, parent=parent)
    found = [*_help(command), _literal(_usage(command, context))]
    records = [param.get_help_record(context) for param in command.get_params(context)]
    if options := [record for record in records if record and record[1]]:
        found.append(nodes.definition_list("", *map(_option, options), classes=["options"]))
    if isinstance(command, click.Group):
        for sub_name in command.list_commands(context):
            sub = command.get_command(context, sub_name)
            if sub is not None:
                title = f"{name} {sub_name}"
                section = nodes.section(ids=[nodes.make_id(f"command-{title}")], names=[title])
                section += nodes.title("", title)
                section += _described(sub, sub_name, context)
                found.append(section)
    return found


def _usage(command: click.Command, context: click.Context) -> str:
    return " ".join([context.command_path, *command.collect_usage_pieces(context)])


def _help(command: click.Command) -> list[nodes.Node]:
    """The paragraphs of the help text; one that must not be wrapped stays as it is."""
    found: list[nodes.Node] = []
    for paragraph in (command.help or "").split("\n\n"):
        lines = [line.strip() for line in paragraph.strip().splitlines()]
        if lines and lines[0] == "\b":
            found.append(_literal("\n".join(lines[1:])))
        elif lines:
            text = " ".join(lines)
            found.append(nodes.paragraph(text, text))
    return found


def _literal(text: str) -> nodes.literal_block:
    return nodes.literal_block(text, text, language="text")


def _option(record: tuple[str, str]) -> nodes.definition_list_item:
    names, told = record
    default = _DEFAULT.search(told)
    told = _DEFAULT.sub("", told).rstrip(".")
    words = nodes.paragraph("", told and told + ".")
    if default:
        words += nodes.inline("", " " + " ".join(default[1].split()), classes=["default"])
    return nodes.definition_list_item(
        "", nodes.term("", "", nodes.literal(names, names)), nodes.definition("", words)
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("command", Command)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
