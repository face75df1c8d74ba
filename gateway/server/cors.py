"""Which pages may call the GraphQL door: those on the redirect allowlist, and never with cookies."""

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from gateway.domain.redirects import Allowlist
from gateway.server.graphql.routes import GRAPHQL_PATH

PREFLIGHT_SECONDS = 600
EXPOSED_HEADERS = "Retry-After, WWW-Authenticate, X-Request-Id"


def cors(allowlist: Allowlist, *, path: str = GRAPHQL_PATH) -> Middleware:
    """Answers preflights for `path` and tells browsers which answers a page may read; other paths are left alone.

    The exact origin is echoed, never `*`. An origin that is not on the list gets the same answer without the headers,
    which its browser then keeps from the page; nothing is decided by the Origin header beyond that.
    """

    @web.middleware
    async def answer_for_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None or request.path != path:
            return await handler(request)
        is_preflight = request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        response = _preflight() if is_preflight else await handler(request)
        if allowlist.allows_origin(origin):
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            if is_preflight:
                response.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = hdrs.METH_POST
                response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = "authorization, content-type"
                response.headers[hdrs.ACCESS_CONTROL_MAX_AGE] = str(PREFLIGHT_SECONDS)
            else:
                response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED_HEADERS
        return response

    return answer_for_origin


def _preflight() -> web.StreamResponse:
    vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
    return web.Response(status=204, headers={hdrs.VARY: vary})
