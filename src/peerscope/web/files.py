"""The page's own files, from memory.

A page is some forty small modules, asked for together. Reading each from disk in a thread, as servers of arbitrary
folders do, takes most of the time until the first picture on a busy machine. What is not in the folder cannot be asked
for, whatever the path looks like.
"""

from __future__ import annotations

import mimetypes
from hashlib import blake2b
from pathlib import Path

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
"""Not those of the system's table, which on some machines calls scripts plain text."""


class File(Struct, frozen=True):
    """One file as it is sent."""

    body: bytes
    media_type: str
    tag: str


class Files:
    """Everything below one folder; each file is read when it is first asked for, and kept."""

    def __init__(self, folder: Path) -> None:
        self._places = {str(place.relative_to(folder)): place for place in folder.rglob("*") if place.is_file()}
        self._read: dict[str, File] = {}

    def answer(self, request: Request, name: str) -> Response:
        """The file, or 304 where the browser has it. Raises 404."""
        place = self._places.get(name)
        if place is None:
            raise HTTPException(404, "the page has no such file")
        file = self._read.get(name)
        if file is None:
            file = self._read[name] = _read(place)
        # Asked again each time, so that an upgraded agent's page is never half the old one.
        headers = {"etag": file.tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == file.tag:
            return Response(status_code=304, headers=headers)
        return Response(file.body, headers=headers, media_type=file.media_type)


def _read(place: Path) -> File:
    body = place.read_bytes()
    media_type = TYPES.get(place.suffix) or mimetypes.guess_type(place.name)[0] or "application/octet-stream"
    return File(body, media_type, f'"{blake2b(body, digest_size=8).hexdigest()}"')
