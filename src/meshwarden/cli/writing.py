"""What a command shows: on the screen, or into the file that was asked for."""

from pathlib import Path

from meshwarden.kernel import ConfigError


def show_text(text: str, output: Path | None, *, code: str) -> None:
    """Write `text` to `output`, or print it; what strangers chose is written out already.

    Raises:
        ConfigError: `code`, where the file cannot be written.
    """
    if output is None:
        print(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(code, f"{output} cannot be written: {error}") from error
