"""Figures for programs. The proxy keeps these paths from the outside (`haproxy_private_paths`)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from app import metrics
from app.pool_statistics import PoolNumbers, PoolStatistics

router = APIRouter(tags=["metrics"])


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {
            "description": "Prometheus' text format",
            "content": {
                "text/plain": {"schema": {"type": "string"}, "example": "intowork_http_requests_total 7\n"}
            },
        }
    },
)
def prometheus(request: Request) -> Response:
    """All figures of this service's workers together, for Prometheus."""
    pool: PoolStatistics = request.app.state.pool
    pool.publish()
    return Response(metrics.exposition(), media_type=CONTENT_TYPE_PLAIN_0_0_4)


@router.get("/metrics/database/pool")
async def database_pool(request: Request) -> PoolNumbers:
    """The pool of the worker that answers, as JSON; of all workers together it is in /metrics."""
    pool: PoolStatistics = request.app.state.pool
    return pool.numbers()
