"""``/api``: Kith's own REST. What lasts (messages, conversations) and what an administrator does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal

import msgspec
from litestar import delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp

from kith import __version__
from kith.core.audit import Act, By
from kith.core.errors import Fault, Invalid, NotFound, Refused
from kith.core.ids import person_id
from kith.core.message import Envelope, Message, Text
from kith.core.people import Conversation, Principal
from kith.gateway.acting import acting
from kith.gateway.body import Call, integer, read_json
from kith.gateway.ports import GatewayPorts
from kith.gateway.settings import GatewaySettings
from kith.gateway.stream import Whole

Key = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_STATES = ("", "waiting", "sending", "sent", "dead", "stale", "dropped")


class MessageBody(msgspec.Struct, frozen=True):
    """A message to be kept and answered. `id` makes sending it again harmless; so does ``Idempotency-Key``."""

    text: Annotated[str, msgspec.Meta(min_length=1)]
    conversation: Key = "default"
    id: Key | None = None
    locale: Annotated[str, msgspec.Meta(max_length=35)] = ""
    persona: Annotated[str, msgspec.Meta(max_length=200)] = ""


class TokenBody(msgspec.Struct, frozen=True):
    """A token to be made."""

    name: str
    role: Literal["owner", "admin", "member", "guest"] = "owner"


class Rest:
    """The routes of ``/api`` that answer once."""

    def __init__(self, ports: GatewayPorts, settings: GatewaySettings) -> None:
        self._ports, self._settings = ports, settings

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """Every route, ready to be registered."""
        turns = {"answer": "Turns", "query": ("after", "before", "limit"), "role": "guest"}
        decide = {"answer": "Decision", "role": "admin"}
        made = {"body": TokenBody, "answer": "NewToken", "status": 201, "role": "admin"}
        revoked = {"answer": "Decision", "role": "admin"}
        said = {"body": MessageBody, "answer": "Receipt", "status": 202, "role": "guest"}
        own = {"answer": "Conversations", "query": ("limit",), "role": "guest"}
        return (
            post("/api/messages", opt=said)(self.message),
            get("/api/conversations", opt=own)(self.conversations),
            get("/api/conversations/{conversation:str}/turns", opt=turns)(self.turns),
            get("/api/flow", opt={"answer": "Flow", "role": "guest"})(self.flow),
            post("/api/flow/reload", opt={"answer": "Flow", "role": "admin"})(self.reload),
            get("/api/outbox", opt={"answer": "Outbox", "query": ("state", "limit"), "role": "admin"})(self.outbox),
            post("/api/outbox/{parcel:str}/{action:str}", opt=decide)(self.decide),
            get("/api/state", opt={"answer": "State", "role": "guest"})(self.state),
            get("/api/tokens", opt={"answer": "Tokens", "role": "admin"})(self.tokens),
            post("/api/tokens", opt=made)(self.token),
            delete("/api/tokens/{token:str}", status_code=200, opt=revoked)(self.revoke),
        )

    async def message(self, request: Call) -> ASGIApp:
        """Keep a message and answer it later: the reply is read from the conversation's turns or events."""
        body = await read_json(request, MessageBody, self._settings)
        key = request.headers.get("idempotency-key") or body.id or self._ports.ids.new("x")
        if len(key) > 200:
            raise Invalid("the request is not valid", faults=(Fault("Idempotency-Key", "is longer than 200"),))
        envelope = letter(self._ports, request.user, body, key)

        async def work() -> tuple[int, Any]:
            accepted = await self._ports.talk.hear(envelope)
            try:
                await self._ports.store.conversation(accepted.conversation)
            except NotFound:  # its first turn is still being made: whoever asks for its turns finds none, not a 404
                await self._ports.store.resolve(envelope)
            return 202, {"id": accepted.id, "conversation": accepted.conversation, "duplicate": accepted.duplicate}

        return Whole(work)

    async def conversations(self, request: Call) -> ASGIApp:
        """List conversations, latest first: all of them for the owner and admins, else one's own."""
        limit = integer(request.query_params, "limit", 100, 1000)

        async def work() -> tuple[int, Any]:
            own = "" if trusted(request.user) else person(request.user)
            found = await self._ports.store.conversations(own, limit)
            return 200, {"conversations": [_conversation(one) for one in found]}

        return Whole(work)

    async def turns(self, request: Call, conversation: FromPath[str]) -> ASGIApp:
        """The last turns of a conversation, oldest first, with how each was rated (1, -1, 0 for not at all); with
        `before`, the last before that turn; with `after`, the first behind it."""
        limit = integer(request.query_params, "limit", 100, 1000)
        after, before = (request.query_params.get(name, "") for name in ("after", "before"))
        if after and before:
            raise Invalid("the request is not valid", faults=(Fault("before", "does not go together with `after`"),))

        async def work() -> tuple[int, Any]:
            await visible(self._ports, request.user, conversation, acting(request))
            found = await self._ports.store.turns(conversation, limit, after, before)
            learning, rated = self._ports.learning, dict[str, int]()
            if learning is not None:
                rated |= await learning.rated([turn.id for turn in found])
            told = [{**asdict(turn), "rating": rated.get(turn.id, 0)} for turn in found]
            return 200, {"conversation": conversation, "turns": told}

        return Whole(work)

    async def flow(self) -> ASGIApp:
        """Describe the dialogue flow in force."""

        async def work() -> tuple[int, Any]:
            return 200, self._ports.flows.describe()

        return Whole(work)

    async def reload(self, request: Call) -> ASGIApp:
        """Read the flow's file again; a broken one is refused with every mistake and the old one stays."""
        administrator(request.user)

        async def work() -> tuple[int, Any]:
            by = acting(request)
            await self._ports.journal.act(Act("flow.reload", by.actor, "", by.origin))
            self._ports.flows.reload()
            return 200, self._ports.flows.describe()

        return Whole(work)

    async def outbox(self, request: Call) -> ASGIApp:
        """List replies on their way out, or those in one state such as `dead`."""
        administrator(request.user)
        limit = integer(request.query_params, "limit", 100, 1000)
        state = request.query_params.get("state", "")
        if state not in _STATES:
            raise Invalid("the request is not valid", faults=(Fault("state", f"is one of {', '.join(_STATES[1:])}"),))

        async def work() -> tuple[int, Any]:
            return 200, {"parcels": [asdict(parcel) for parcel in await self._ports.outbox.find(state, limit)]}

        return Whole(work)

    async def decide(self, request: Call, parcel: FromPath[str], action: FromPath[str]) -> ASGIApp:
        """Decide on a dead or stale reply: `retry` or `drop`."""
        administrator(request.user)
        if action not in ("retry", "drop"):
            raise NotFound(f"a reply can be retried or dropped, not {action!r}", hint="use retry or drop")

        async def work() -> tuple[int, Any]:
            by = acting(request)
            await self._ports.outbox.decide(parcel, action, Act(f"outbox.{action}", by.actor, parcel, by.origin))
            return 200, {"id": parcel, "done": action}

        return Whole(work)

    async def state(self) -> ASGIApp:
        """How every component is."""

        async def work() -> tuple[int, Any]:
            health = self._ports.health
            found = {name: asdict(report) for name, report in sorted(health.snapshot().items())}
            return 200, {
                "version": __version__,
                "ready": health.ready,
                "started": health.started,
                "components": found,
            }

        return Whole(work)

    async def tokens(self, request: Call) -> ASGIApp:
        """List the API tokens, never the tokens themselves."""
        administrator(request.user)

        async def work() -> tuple[int, Any]:
            found = await self._ports.accounts.list()
            rows = [{"id": t.id, "name": t.name, "role": t.role, "created": t.created} for t in found]
            return 200, {"tokens": rows}

        return Whole(work)

    async def token(self, request: Call) -> ASGIApp:
        """Make an API token; it is shown in this answer only."""
        administrator(request.user)
        body = await read_json(request, TokenBody, self._settings)
        if body.role == "owner" and request.user.role != "owner":
            raise Refused("only the owner makes tokens of the owner")

        async def work() -> tuple[int, Any]:
            return 201, {
                "token": await self._ports.accounts.new(body.name, body.role, acting(request)),
                "name": body.name,
            }

        return Whole(work)

    async def revoke(self, request: Call, token: FromPath[str]) -> ASGIApp:
        """Refuse a token from now on."""
        administrator(request.user)

        async def work() -> tuple[int, Any]:
            ticket = next((one for one in await self._ports.accounts.list() if one.id == token), None)
            if ticket and ticket.role == "owner" and request.user.role != "owner":
                raise Refused("only the owner revokes tokens of the owner")
            await self._ports.accounts.revoke(token, acting(request))
            return 200, {"id": token, "done": "revoke"}

        return Whole(work)


def letter(ports: GatewayPorts, principal: Principal, body: MessageBody, key: str) -> Envelope:
    """A request's message as an envelope. The account is the principal, so keys of two callers never meet."""
    said = Message(ports.ids.new("m"), "user", (Text(body.text),), ports.clock.now())
    return Envelope(
        channel="api",
        account=principal.id,
        platform_id=key,
        sender=principal.id,
        conversation=body.conversation,
        message=said,
        locale=body.locale,
        persona=body.persona,
        deliver=False,
    )


def trusted(principal: Principal) -> bool:
    """Whether this principal may see everybody's conversations."""
    return principal.role in ("owner", "admin")


def administrator(principal: Principal) -> None:
    """Raises `Refused` for anyone but the owner and admins."""
    if not trusted(principal):
        raise Refused("this is for the owner and admins", code="role_refused")


def person(principal: Principal) -> str:
    """The id of the person that this principal is to the store."""
    return person_id("api", principal.id, principal.id)


async def visible(ports: GatewayPorts, principal: Principal, conversation: str, by: By) -> None:
    """Raises `NotFound` unless this principal may see the conversation: the same for absent and for hidden ones.

    That somebody looks into a conversation of others is written down first.
    """
    try:
        found = await ports.store.conversation(conversation)
    except NotFound:
        found = None
    if found is None or not (trusted(principal) or _own(principal, found)):
        raise NotFound("there is no such conversation", code="conversation_not_found")
    if not _own(principal, found):
        await ports.journal.act(Act("conversation.read", by.actor, conversation, by.origin))


def _own(principal: Principal, found: Conversation) -> bool:
    """Whether the principal speaks in it: through a request, or as a client of the channel that it belongs to."""
    return bool({person(principal), person_id(found.channel, found.account, principal.id)} & set(found.members))


def _conversation(found: Conversation) -> Mapping[str, Any]:
    return {name: value for name, value in asdict(found).items() if name != "state"}
