"""The API's description: for programs as OpenAPI, for people as a page that can try it out."""

from __future__ import annotations

import base64
import hashlib

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

router = APIRouter(include_in_schema=False)

# One version, and only if it is to the byte what it was: a script of this page could read what is typed here.
SWAGGER = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5.35.0/"
SCRIPT = "sha384-gjRm0bEPMeTmMh5jT2cHccIwCUZSTd8YC+j0d0sXw0MdGEfScduGpSyF3ZSSLkX9"
STYLE = "sha384-WlYgdmXYOOBWL5apwjDEZwN+U3HmXSSu5R6V5aGxEcf7z+KuRNwBhoxKVN1i3D5I"

START = """
SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger", deepLinking: true, validatorUrl: null})
"""
PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>IntoWork API</title>
<link rel="stylesheet" href="{SWAGGER}swagger-ui.css" integrity="{STYLE}" crossorigin="anonymous">
</head>
<body>
<noscript>This page needs JavaScript; <a href="/openapi.json">openapi.json</a> does not.</noscript>
<div id="swagger"></div>
<script src="{SWAGGER}swagger-ui-bundle.js" integrity="{SCRIPT}" crossorigin="anonymous"></script>
<script>{START}</script>
</body>
</html>
"""
# The page's own script by its hash; Swagger UI makes small pictures while it runs.
_START_HASH = base64.b64encode(hashlib.sha256(START.encode()).digest()).decode()
POLICY = "; ".join(
    (
        "default-src 'none'",
        f"script-src {SWAGGER} 'sha256-{_START_HASH}'",
        f"style-src {SWAGGER}",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


@router.get("/docs")
async def docs() -> HTMLResponse:
    """Swagger UI."""
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})


@router.get("/openapi.json")
def openapi(request: Request) -> Response:
    """The description itself. On a thread: the first time it is made, which takes most of a second."""
    return JSONResponse(request.app.openapi())
