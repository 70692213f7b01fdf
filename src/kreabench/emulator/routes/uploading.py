"""Files of the client's own: the token, the CDN's upload, and the older storage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kreabench.emulator.answers import Rejected, detail
from kreabench.emulator.files import MAX_UPLOAD_BYTES, StoredFile
from kreabench.emulator.routes.requests import read_body, read_json
from kreabench.emulator.service import Service

_TOKEN_LIVES = timedelta(hours=1)
_UNNAMED = "application/octet-stream"


class Uploading:
    """What rest.fal.ai and v3.fal.media do; here both are the queue host."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def token(self, request: Request) -> Response:
        """What the client needs before it uploads."""
        uploads = self._service.uploads
        return JSONResponse(
            {
                "token": uploads.token,
                "token_type": "Bearer",
                "base_url": uploads.base_url,
                "expires_at": (datetime.now(UTC) + _TOKEN_LIVES).isoformat(),
            }
        )

    async def upload(self, request: Request) -> Response:
        """The body is the file."""
        content = await read_body(request, MAX_UPLOAD_BYTES)
        uploads = self._service.uploads
        place = uploads.reserve(request.headers.get("x-fal-file-name"))
        uploads.put(place, StoredFile(content=content, content_type=request.headers.get("content-type", _UNNAMED)))
        return JSONResponse({"access_url": uploads.url(place)})

    async def initiate(self, request: Request) -> Response:
        """The older way: a place to PUT the file, and where it will be."""
        body = await read_json(request)
        if not isinstance(body, dict) or not isinstance(body.get("file_name", ""), str):
            raise Rejected(detail(400, "Expected an object with file_name and content_type"))
        url = self._service.uploads.url(self._service.uploads.reserve(body.get("file_name")))
        return JSONResponse({"upload_url": url, "file_url": url})

    async def put(self, request: Request) -> Response:
        """The file itself; the address that `initiate` gave is the permission."""
        folder, name = request.path_params["folder"], request.path_params["name"]
        if not folder.startswith("upload-"):
            return detail(404, "File not found")
        try:
            content = await read_body(request, MAX_UPLOAD_BYTES)
        except Rejected as rejected:
            return rejected.response
        content_type = request.headers.get("content-type", _UNNAMED)
        self._service.uploads.put((folder, name), StoredFile(content=content, content_type=content_type))
        return Response(status_code=200)
