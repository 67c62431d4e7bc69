"""Which members of a tar archive may come out, and under which name."""

import tarfile
from pathlib import Path

from gmsdi_jax.errors import InputError

LONGEST_NAME = 255
DEEPEST = 16
_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a file with holes",
}
# Python 3.11.0 to 3.11.3 have no filters; our own rules are stricter than it.
_second_opinion = getattr(tarfile, "data_filter", None)


class Members:
    """Looks at the members of one archive, one after the other."""

    def __init__(self, archive: str, members: int, size: int) -> None:
        """Takes the name of the archive, for errors, and how much it may hold."""
        self._archive, self._most, self._size = archive, members, size
        self._seen = 0
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self.bytes = 0
        """Bytes of all files so far."""

    @property
    def files(self) -> int:
        """How many files so far."""
        return len(self._files)

    def place(self, member: tarfile.TarInfo, folder: Path) -> Path | None:
        """Where a member goes below `folder`; None for the archive's own folder, ``.``.

        Raises:
            InputError: It must not come out.
        """
        self._seen += 1
        if self._seen > self._most:
            raise InputError(f"{self._archive}: refused: more than {self._most} members")
        if not member.isdir() and not self._is_plain(member):
            kind = "a file with holes" if member.issparse() else _KINDS.get(member.type)
            self._refuse(member, f"is {kind or 'of an unknown kind'}")
        parts = self._parts(member)
        if not parts:
            return None
        self._add("/".join(parts), member)
        if _second_opinion is not None:
            try:
                _second_opinion(member, str(folder))
            except tarfile.TarError as error:
                self._refuse(member, str(error))
        return folder.joinpath(*parts)

    def _is_plain(self, member: tarfile.TarInfo) -> bool:
        return member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()

    def _parts(self, member: tarfile.TarInfo) -> list[str]:
        """The name, cut at its slashes, without dots."""
        name = member.name
        if not name.isprintable() or "\\" in name:
            self._refuse(member, "has a name that is no plain text")
        if name.startswith("/") or name[1:2] == ":":
            self._refuse(member, "has an absolute name")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            self._refuse(member, "leads out of its folder")
        if len(parts) > DEEPEST or any(len(part.encode()) > LONGEST_NAME for part in parts):
            self._refuse(member, "has a name that is too long")
        if not parts and not member.isdir():
            self._refuse(member, "has no name")
        return parts

    def _add(self, name: str, member: tarfile.TarInfo) -> None:
        """Counts a member, unless it is there already or cannot be there."""
        above = name.split("/")[:-1]
        folders = {"/".join(above[: count + 1]) for count in range(len(above))}
        if member.isdir():
            folders.add(name)
        elif name in self._files:
            self._refuse(member, "is in it twice")
        if (name in self._folders and not member.isdir()) or folders & self._files:
            self._refuse(member, "is a file and a folder")
        self._folders |= folders
        if member.isdir():
            return
        self._files.add(name)
        if member.size < 0 or self.bytes + member.size > self._size:
            self._refuse(member, f"brings it to more than {self._size} bytes")
        self.bytes += member.size

    def _refuse(self, member: tarfile.TarInfo, why: str) -> None:
        # Shortened, and escaped by repr: a name may hold anything.
        raise InputError(f"{self._archive}: refused: its member {member.name[:80]!r} {why}")
