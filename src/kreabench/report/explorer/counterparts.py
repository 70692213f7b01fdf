"""Settings of several runs: what each is called beside those of the others, and which it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from kreabench.core.errors import ConfigError
from kreabench.decisions.matching import partners
from kreabench.report.explorer.data import SettingData
from kreabench.report.explorer.sources import Source


def told_apart(sources: Sequence[Source], settings: Sequence[SettingData]) -> tuple[SettingData, ...]:
    """`settings` with the letter of their run in their names, and their counterparts in the first run."""
    if len(sources) < 2:
        return tuple(settings)
    letters = {source.id: source.name.letter for source in sources}
    equal = counterparts(sources)
    return tuple(
        replace(one, label=f"{letters[one.run]}: {one.label}", counterpart=equal.get(one.id)) for one in settings
    )


def counterparts(sources: Sequence[Source]) -> dict[str, str]:
    """Setting of a further run → the one of the first run that it is compared with, where there is one."""
    found = {}
    for source in sources[1:]:
        with suppress(ConfigError):  # no setting has one
            for base, setting in partners(sources[0].evidence.side, source.evidence.side):
                found[source.setting_id(setting.id)] = sources[0].setting_id(base.id)
    return found
