"""The order of the stages, and nothing clever.

    read -> authenticate -> authorize -> plan -> hold -> dispatch -> meter -> record

Each stage takes frozen values and returns a new one, or raises an error of handlers.errors that is answered in the client's
dialect. Three stages may have to wait, and only when memory does not hold the answer: authenticate for an unknown key,
authorize for a key with limits per minute, hold for credit that is not leased yet. A request that waits for none passes all stages in one call, without a task.
Dispatch, meter and record are driven by the provider pod's frames: passage.py.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import msgspec

from handlers.errors import TheRouterError, Unavailable
from handlers.gateway.arrival import presented_key
from handlers.gateway.attempts import RoutePlan
from handlers.gateway.authorize import authorize
from handlers.gateway.call import Call
from handlers.gateway.disclosure import describe_plan
from handlers.gateway.gate import read_call
from handlers.gateway.hedging import arm
from handlers.gateway.makers import carries_material
from handlers.gateway.overload import Level
from handlers.gateway.passage import Passage
from handlers.gateway.plan import route_plan
from handlers.gateway.refusals import JSON_HEADERS, render
from handlers.gateway.request_ids import new_request_id
from handlers.gateway.routes import explained_path, find_route
from handlers.telemetry.logs import Room

if TYPE_CHECKING:
    from handlers.gateway.arrival import Arrival
    from handlers.gateway.authorize import Grant
    from handlers.gateway.credit import Hold
    from handlers.gateway.room import Gateway
    from handlers.gateway.routes import Route
    from handlers.keys.principal import Principal
    from handlers.transport.server import Exchange


def serve(gateway: Gateway, exchange: Exchange, arrival: Arrival) -> None:
    """Take one request that a provider shall answer through all stages."""
    request_id = new_request_id()
    head, route = exchange.head, arrival.route
    try:
        call = read_call(route, head.target, head.path, arrival.content_type, exchange.body)
        principal = arrival.principal(head, gateway.verifier)
        if principal is None:
            gateway.overload.refuse_from(Level.STRANGERS)
        if principal is None or not gateway.byok.knows(principal.account):
            gateway.spawn(_authenticate_first(gateway, exchange, call, request_id))
        else:
            _admit(gateway, exchange, call, principal, request_id)
    except TheRouterError as error:
        refuse(gateway, exchange, route.dialect, error, request_id)


async def _authenticate_first(gateway: Gateway, exchange: Exchange, call: Call, request_id: str) -> None:
    async def stage() -> None:
        principal = await gateway.recognise(presented_key(exchange.head))
        _admit(gateway, exchange, call, principal, request_id)

    await _answering(gateway, exchange, call, request_id, stage())


def _admit(gateway: Gateway, exchange: Exchange, call: Call, principal: Principal, request_id: str) -> None:
    """Authorize, then go on with what memory holds; a key with limits per minute is counted in the database first."""
    if exchange.closed:
        return
    if not gateway.recorder.can_write:
        raise Unavailable("Usage cannot be recorded at the moment, so nothing is admitted; retry shortly.")
    arrival: Arrival = exchange.head.notes
    grant = arrival.grant(principal, gateway.address_for(principal, exchange.head), gateway.byok.choice(principal))
    name = arrival.idempotency_key
    if name is None:
        _count(gateway, exchange, call, grant, request_id)
    else:
        gateway.spawn(_claim_first(gateway, exchange, call, grant, name, request_id))


async def _claim_first(
    gateway: Gateway, exchange: Exchange, call: Call, grant: Grant, name: bytes, request_id: str
) -> None:
    async def stage() -> None:
        token = presented_key(exchange.head)
        await gateway.claims.take(
            grant.principal.account, token, name, exchange.head.target + b"\n" + call.body, request_id
        )
        if exchange.closed:
            gateway.claims.refused(request_id)
        else:
            _count(gateway, exchange, call, grant, request_id)

    await _answering(gateway, exchange, call, request_id, stage())


def _count(gateway: Gateway, exchange: Exchange, call: Call, grant: Grant, request_id: str) -> None:
    if gateway.rates.passes(grant.principal):
        _plan_and_hold(gateway, exchange, call, grant, request_id)
    else:
        gateway.spawn(_count_first(gateway, exchange, call, grant, request_id))


async def _count_first(gateway: Gateway, exchange: Exchange, call: Call, grant: Grant, request_id: str) -> None:
    async def stage() -> None:
        await gateway.rates.admit(grant.principal, call)
        try:
            _plan_and_hold(gateway, exchange, call, grant, request_id)
        except TheRouterError:
            gateway.rates.settle(grant.principal, len(call.body), 0)
            raise

    await _answering(gateway, exchange, call, request_id, stage())


async def _find_makers_first(gateway: Gateway, exchange: Exchange, call: Call, grant: Grant, request_id: str) -> None:
    async def stage() -> None:
        made = await gateway.makers.find(grant.principal.account, call)
        if exchange.closed:
            gateway.claims.refused(request_id)
            gateway.rates.settle(grant.principal, len(call.body), 0)
            return
        try:
            _plan_and_hold(gateway, exchange, msgspec.structs.replace(call, made=made), grant, request_id)
        except TheRouterError:
            gateway.rates.settle(grant.principal, len(call.body), 0)
            raise

    await _answering(gateway, exchange, call, request_id, stage())


def _plan_and_hold(gateway: Gateway, exchange: Exchange, call: Call, grant: Grant, request_id: str) -> None:
    principal = grant.principal
    if call.made is None and call.known_as is None and carries_material(call):
        made = gateway.makers.known(principal.account, call)
        if made is None:
            gateway.spawn(_find_makers_first(gateway, exchange, call, grant, request_id))
            return
        call = msgspec.structs.replace(call, made=made)
    plan = plan_for(gateway, exchange, call, grant)
    if gateway.overload.level:
        is_free = not gateway.credit.worst_case(principal, plan, call)
        gateway.overload.refuse_from(Level.FREE if is_free else Level.ALL)
    hold = gateway.credit.try_hold(principal, plan, call)
    if hold is None:
        gateway.spawn(_hold_first(gateway, exchange, call, grant, plan, request_id))
    else:
        _launch(gateway, exchange, call, grant, plan, hold, request_id)


def _launch(
    gateway: Gateway, exchange: Exchange, call: Call, grant: Grant, plan: RoutePlan, hold: Hold, request_id: str
) -> None:
    passage = Passage(gateway, exchange, call, grant, plan, hold, request_id)
    passage.start()
    after_s = call.preferences.hedge_after
    if after_s is not None and call.stream:
        arm(gateway, passage, exchange, call, grant, plan, after_s)


def plan_for(gateway: Gateway, exchange: Exchange, call: Call, grant: Grant) -> RoutePlan:
    """The plan of a call from what this process knows now."""
    arrival: Arrival = exchange.head.notes
    sole = arrival.candidates(call, grant, gateway.eligibility).sole
    if sole is not None:
        return sole
    session = arrival.session
    if session and not call.session:
        call = msgspec.structs.replace(call, session=session)
    now = gateway.monotonic()
    health = gateway.health.snapshot(now)
    return route_plan(call, grant, gateway.eligibility, health, gateway.next_seed(), gateway.sticky, now)


async def _hold_first(
    gateway: Gateway, exchange: Exchange, call: Call, grant: Grant, plan: RoutePlan, request_id: str
) -> None:
    async def stage() -> None:
        try:
            hold = await gateway.credit.hold(grant.principal, plan, call)
        except TheRouterError:
            gateway.rates.settle(grant.principal, len(call.body), 0)
            raise
        if exchange.closed:
            gateway.credit.release(hold)
            gateway.claims.refused(request_id)
            gateway.rates.settle(grant.principal, len(call.body), 0)
            return
        _launch(gateway, exchange, call, grant, plan, hold, request_id)

    await _answering(gateway, exchange, call, request_id, stage())


async def _answering(
    gateway: Gateway, exchange: Exchange, call: Call, request_id: str, stage: Coroutine[Any, Any, None]
) -> None:
    """Run a stage that waits; whatever it raises is answered, never lost."""
    try:
        await stage
    except TheRouterError as error:
        refuse(gateway, exchange, call.route.dialect, error, request_id)
    except Exception as error:  # noqa: BLE001 - the last resort: a bug becomes a 500 and one log line
        gateway.log.fault(Room.GATEWAY, error, request_id=request_id)
        refuse(
            gateway, exchange, call.route.dialect, TheRouterError("An internal error; it has been logged."), request_id
        )


def explain(gateway: Gateway, exchange: Exchange, route: Route) -> None:
    """POST /v1/route...: what would be done with this request, at what worst-case price, without doing it."""
    request_id = new_request_id()
    path = explained_path(exchange.head.path)
    try:
        call = read_call(find_route(b"POST", path), path, path, exchange.head.get(b"content-type"), exchange.body)
        token = presented_key(exchange.head)
    except TheRouterError as error:
        refuse(gateway, exchange, route.dialect, error, request_id)
        return

    async def stage() -> None:
        principal = await gateway.recognise(token)
        grant = authorize(principal, gateway.address_for(principal, exchange.head), gateway.byok.choice(principal))
        made = await gateway.makers.find(principal.account, call) if carries_material(call) else None
        asked = msgspec.structs.replace(call, made=made)
        plan = plan_for(gateway, exchange, asked, grant)
        body = msgspec.json.encode(
            describe_plan(
                plan,
                gateway.credit.worst_case(principal, plan, call),
                gateway.catalog,
                gateway.health.snapshot(gateway.monotonic()),
                principal.account,
                asked,
            )
        )
        exchange.send(200, [*JSON_HEADERS, (b"x-request-id", request_id.encode())], body)

    gateway.spawn(_answering(gateway, exchange, call, request_id, stage()))


def refuse(gateway: Gateway, exchange: Exchange, dialect: str, error: TheRouterError, request_id: str) -> None:
    """Answer with an error in the client's dialect."""
    gateway.metrics.refusals.add(str(error.http_status))
    gateway.claims.refused(request_id)
    if not exchange.closed:
        exchange.send(*render(error, dialect, request_id))
