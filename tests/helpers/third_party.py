"""Import third-party detectors in tests."""

from galaxy_edge.export.third_party import ImportOptions, import_model

from helpers.command_line import galaxy_edge_in_process


def imported(path, out, settings, task="detector", **options):
    """Import a file as a detector; options are those of `ImportOptions`."""
    return import_model(path, out, settings, ImportOptions(task, **options))


def export_command(foreign, out, *arguments):
    """Run `galaxy-edge export --from` on the int8 file among third-party files."""
    given = ("--task", "detector", "--labels", foreign / "labels.txt")
    return galaxy_edge_in_process("export", "--from", foreign / "int8.tflite", *given, "--out", out, *arguments)
