"""recovery-stats synth"""

from __future__ import annotations

from pathlib import Path

import click

from recovery_stats.cli.screen import Screen, screened


@click.command("synth")
@click.argument("preset", metavar="PRESET")
@click.option("--persons", type=click.IntRange(1), default=400, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Folder for the .sav files, study.toml and truth.toml.",
)
@click.option("--force", is_flag=True, help="Write into a folder that holds something.")
@screened
def command(preset: str, persons: int, seed: int, folder: Path, force: bool, screen: Screen) -> int:
    """Make a synthetic study whose truth is known: SPSS files, study.toml, truth.toml.

    `synth list` lists the presets.
    """
    from recovery_stats.data import synthetic
    from recovery_stats.errors import OutputError, UsageError, unknown
    from recovery_stats.study.folder import refused_by_system

    if preset == "list":
        return _list(screen)
    if preset not in synthetic.PRESETS:
        raise UsageError(unknown("preset", preset, synthetic.PRESETS))
    with refused_by_system(folder):
        if folder.is_dir() and any(folder.iterdir()) and not force:
            raise OutputError(
                f"Folder {str(folder)!r} holds something already. Give an empty one, or --force."
            )
        screen.progress(f"Making {persons} people of preset {preset} …")
        written = synthetic.write_cohort(preset, folder, persons=persons, seed=seed)
    if screen.as_json:
        screen.data({"folder": str(folder), "files": [path.name for path in written]})
    else:
        for path in written:
            screen.result(str(path))
    screen.say(f"Next: recovery-stats run {folder / 'study.toml'}")
    return 0


def _list(screen: Screen) -> int:
    from recovery_stats.data.synthetic import PRESETS

    if screen.as_json:
        screen.data({name: preset.says for name, preset in PRESETS.items()})
        return 0
    width = max(map(len, PRESETS))
    for name, preset in PRESETS.items():
        screen.result(f"{name:<{width}}  {preset.says}")
    return 0
