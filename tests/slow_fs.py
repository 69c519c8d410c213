#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Show a folder through a file system that counts what it is asked, and answers each metadata operation late.

    tests/slow_fs.py FOLDER MOUNT_POINT MILLISECONDS

For ``tests/bench_efs.py``. What is asked of FUSE is close to what an NFS 4.1 client asks of its server: names and
attributes are remembered for three seconds (``acregmin``), and an open goes to the server each time. Reads and writes
are counted, not delayed. ``os.getxattr(MOUNT_POINT, "user.counts")`` is a JSON object of the counts; to set it to
anything starts them anew.

Runs with Debian's Python, because Debian brings pyfuse3 ready-made; unmount it to end it.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from collections import Counter
from pathlib import Path

import pyfuse3  # type: ignore[import-not-found]
import trio  # type: ignore[import-not-found]

SECONDS_REMEMBERED = 3.0
COUNTS = b"user.counts"


def errors(function):  # type: ignore[no-untyped-def]
    """Answer an operating system's error with the same error."""

    async def answered(*given):  # type: ignore[no-untyped-def]
        try:
            return await function(*given)
        except OSError as error:
            raise pyfuse3.FUSEError(error.errno or errno.EIO) from error

    return answered


class SlowFs(pyfuse3.Operations):  # type: ignore[misc]
    """A folder, late."""

    def __init__(self, folder: Path, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.counts: Counter[str] = Counter()
        # Every name an inode is known by; the root's number is FUSE's, not the folder's.
        self.paths: dict[int, Path] = {pyfuse3.ROOT_INODE: folder}
        self.folders: dict[int, list[str]] = {}

    async def late(self, operation: str) -> None:
        self.counts[operation] += 1
        await trio.sleep(self.seconds)

    def child(self, parent: int, name: bytes) -> Path:
        return self.paths[parent] / os.fsdecode(name)

    def attributes(self, path: Path) -> pyfuse3.EntryAttributes:
        found = path.lstat()
        entry = pyfuse3.EntryAttributes()
        for name in ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_atime_ns", "st_mtime_ns", "st_ctime_ns"):
            setattr(entry, name, getattr(found, name))
        entry.st_blksize, entry.st_blocks = 1 << 20, found.st_blocks
        entry.st_ino = pyfuse3.ROOT_INODE if path == self.paths[pyfuse3.ROOT_INODE] else found.st_ino
        entry.attr_timeout = entry.entry_timeout = SECONDS_REMEMBERED
        return entry

    def known(self, path: Path) -> pyfuse3.EntryAttributes:
        entry = self.attributes(path)
        self.paths[entry.st_ino] = path
        return entry

    @errors
    async def lookup(self, parent, name, context=None):  # type: ignore[no-untyped-def]
        await self.late("lookup")
        return self.known(self.child(parent, name))

    @errors
    async def getattr(self, inode, context=None):  # type: ignore[no-untyped-def]
        await self.late("getattr")
        return self.attributes(self.paths[inode])

    @errors
    async def setattr(self, inode, attr, fields, fh, context):  # type: ignore[no-untyped-def]
        await self.late("setattr")
        path = self.paths[inode]
        if fields.update_size:
            os.truncate(path, attr.st_size)
        if fields.update_mode:
            path.chmod(stat.S_IMODE(attr.st_mode))
        if fields.update_uid or fields.update_gid:
            os.chown(path, attr.st_uid if fields.update_uid else -1, attr.st_gid if fields.update_gid else -1)
        if fields.update_atime or fields.update_mtime:
            now = path.lstat()
            atime = attr.st_atime_ns if fields.update_atime else now.st_atime_ns
            mtime = attr.st_mtime_ns if fields.update_mtime else now.st_mtime_ns
            os.utime(path, ns=(atime, mtime), follow_symlinks=False)
        return self.attributes(path)

    @errors
    async def readlink(self, inode, context):  # type: ignore[no-untyped-def]
        await self.late("readlink")
        return os.fsencode(self.paths[inode].readlink())

    @errors
    async def mkdir(self, parent, name, mode, context):  # type: ignore[no-untyped-def]
        await self.late("mkdir")
        path = self.child(parent, name)
        path.mkdir(mode & ~context.umask)
        return self.known(path)

    @errors
    async def symlink(self, parent, name, target, context):  # type: ignore[no-untyped-def]
        await self.late("symlink")
        path = self.child(parent, name)
        path.symlink_to(os.fsdecode(target))
        return self.known(path)

    @errors
    async def unlink(self, parent, name, context):  # type: ignore[no-untyped-def]
        await self.late("remove")
        self.child(parent, name).unlink()

    @errors
    async def rmdir(self, parent, name, context):  # type: ignore[no-untyped-def]
        await self.late("remove")
        self.child(parent, name).rmdir()

    @errors
    async def rename(self, parent, name, new_parent, new_name, flags, context):  # type: ignore[no-untyped-def]
        await self.late("rename")
        before, after = self.child(parent, name), self.child(new_parent, new_name)
        before.rename(after)
        for inode, path in self.paths.items():
            if path.is_relative_to(before):
                self.paths[inode] = after / path.relative_to(before)

    @errors
    async def opendir(self, inode, context):  # type: ignore[no-untyped-def]
        self.folders[inode] = sorted(path.name for path in self.paths[inode].iterdir())
        return inode

    async def readdir(self, inode, start, token):  # type: ignore[no-untyped-def]
        # One operation brings names and attributes of all that fits, as NFS's READDIR does.
        await self.late("readdir")
        names = self.folders[inode]
        for number in range(start, len(names)):
            try:
                path = self.paths[inode] / names[number]
                entry = self.attributes(path)
            except FileNotFoundError:
                continue
            if not pyfuse3.readdir_reply(token, os.fsencode(names[number]), entry, number + 1):
                return
            self.paths[entry.st_ino] = path

    async def releasedir(self, inode):  # type: ignore[no-untyped-def]
        self.folders.pop(inode, None)

    @errors
    async def open(self, inode, flags, context):  # type: ignore[no-untyped-def]
        await self.late("open")
        return pyfuse3.FileInfo(fh=os.open(self.paths[inode], flags & ~(os.O_CREAT | os.O_EXCL)))

    @errors
    async def create(self, parent, name, mode, flags, context):  # type: ignore[no-untyped-def]
        await self.late("create")
        path = self.child(parent, name)
        opened = os.open(path, flags | os.O_CREAT, mode & ~context.umask)
        return pyfuse3.FileInfo(fh=opened), self.known(path)

    @errors
    async def read(self, handle, offset, length):  # type: ignore[no-untyped-def]
        self.counts["read"] += 1
        return os.pread(handle, length, offset)

    @errors
    async def write(self, handle, offset, content):  # type: ignore[no-untyped-def]
        self.counts["write"] += 1
        return os.pwrite(handle, content, offset)

    @errors
    async def fsync(self, handle, datasync):  # type: ignore[no-untyped-def]
        await self.late("commit")

    @errors
    async def fsyncdir(self, inode, datasync):  # type: ignore[no-untyped-def]
        # NFS changes directories on the server at once: its client has nothing to bring there.
        return

    @errors
    async def release(self, handle):  # type: ignore[no-untyped-def]
        # CLOSE.
        await self.late("close")
        os.close(handle)

    async def statfs(self, context):  # type: ignore[no-untyped-def]
        await self.late("statfs")
        found, answer = os.statvfs(self.paths[pyfuse3.ROOT_INODE]), pyfuse3.StatvfsData()
        for name in (
            "f_bsize",
            "f_frsize",
            "f_blocks",
            "f_bfree",
            "f_bavail",
            "f_files",
            "f_ffree",
            "f_favail",
            "f_namemax",
        ):
            setattr(answer, name, getattr(found, name))
        return answer

    async def getxattr(self, inode, name, context):  # type: ignore[no-untyped-def]
        if name != COUNTS:
            raise pyfuse3.FUSEError(errno.ENODATA)
        return json.dumps(self.counts).encode()

    async def setxattr(self, inode, name, value, context):  # type: ignore[no-untyped-def]
        if name != COUNTS:
            raise pyfuse3.FUSEError(errno.ENOTSUP)
        self.counts.clear()


def main() -> None:
    """Serve until unmounted."""
    folder, mount_point, milliseconds = sys.argv[1:]
    operations = SlowFs(Path(folder).resolve(), float(milliseconds) / 1000)
    pyfuse3.init(operations, mount_point, {*pyfuse3.default_options, "fsname=slow", "default_permissions"})
    try:
        trio.run(pyfuse3.main)
    finally:
        pyfuse3.close(unmount=True)


if __name__ == "__main__":
    main()
