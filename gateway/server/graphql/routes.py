"""The addresses of the GraphQL door: POST for operations, GET for the query page where it is switched on."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import hdrs, web

from gateway.server.graphql.answers import BadRequest, refusal_response
from gateway.server.graphql.edge import GraphQLEdge
from gateway.server.graphql.negotiation import JSON, accepts_html, media_type_for

GRAPHQL_PATH = "/graphql"

_PAGE_FILES = Path(__file__).parent / "page"
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_CONTENT_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".json": "application/json"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_graphql_routes(app: web.Application, edge: GraphQLEdge, *, graphiql: bool) -> None:
    """Serves the edge at GRAPHQL_PATH, and the query page beside it when `graphiql` is set (development).

    On shutdown the application waits for mutations under way, before its clean-up closes what they use.
    """
    page = _file_handler("index.html") if graphiql else None
    allowed = "GET, POST" if graphiql else "POST"

    async def dispatch(request: web.Request) -> web.StreamResponse:
        if request.method == hdrs.METH_POST:
            return await edge.handle(request)
        accept = ",".join(request.headers.getall(hdrs.ACCEPT, ()))
        wants_page = request.method in (hdrs.METH_GET, hdrs.METH_HEAD) and "query" not in request.query
        if page is not None and wants_page and accepts_html(accept):
            return await page(request)
        refusal = BadRequest("Operations are sent with POST.", status=405, headers={hdrs.ALLOW: allowed})
        return refusal_response(refusal, media_type=media_type_for(accept) or JSON)

    app.router.add_route(hdrs.METH_ANY, GRAPHQL_PATH, dispatch)
    if graphiql:
        for name in ("page.css", "page.js", "docs.js", "examples.json"):
            app.router.add_get(f"{GRAPHQL_PATH}/{name}", _file_handler(name))
    app.on_shutdown.append(edge.drain)


def _file_handler(name: str) -> Handler:
    file = _PAGE_FILES / name
    body = file.read_bytes()
    headers = {
        hdrs.CONTENT_TYPE: f"{_CONTENT_TYPES[file.suffix]}; charset=utf-8",
        hdrs.CACHE_CONTROL: "no-cache",
        "Content-Security-Policy": _PAGE_POLICY,
    }

    async def send(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, headers=headers)

    return send
