"""The one error a person may cause: bad input, bad configuration, or a machine that lacks what was asked for."""


class UserError(Exception):
    """Something the person at the keyboard can put right.

    The message is one line that names the file, the line, the key or the setting at fault. The command line prints it
    on stderr without a traceback and exits with status 2; in Python it is raised as it is.
    """


def not_installed(library: str, extra: str) -> str:
    """What to say of a library that comes with an extra of the package.

    Args:
        library: its name.
        extra: the extra's, or several with commas between them.
    """
    return f"{library} is not installed; run pip install '.[{extra}]' in the repository's folder"
