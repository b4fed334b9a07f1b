"""Group: commands under one word; one that does not exist is answered with the one that was probably meant."""

import click

__all__ = ["Group"]


class Group(click.Group):
    """A group of commands, in the order of their definition, that helps on with a word that it does not know."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names of its commands."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of the first word; raises UsageError with the nearest known one where there is none."""
        word, known = args[0], self.list_commands(ctx)
        if word not in known and not word.startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(f"No such command {word!r}. {_advice(ctx, word, known)}", ctx)
        return super().resolve_command(ctx, args)


def _advice(ctx: click.Context, word: str, known: list[str]) -> str:
    from knowngood.domain.spelling import did_you_mean

    advice = did_you_mean(word, known)
    if ctx.parent is None:
        return advice
    # ``kg quarantine pricing``: the first command of each group takes a system.
    whole = f"{ctx.command_path} {known[0]} {word}"
    if advice.startswith("Known"):
        return f"Did you mean '{whole}'? {advice}"
    return f"{advice}. If {word!r} is a system: {whole}"
