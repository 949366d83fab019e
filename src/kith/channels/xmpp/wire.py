"""The connection, over slixmpp: logging in, rooms, the archive, and messages that the server has taken.

slixmpp is an optional library and imported when a connection is opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

from kith.channels.xmpp.settings import XmppSettings
from kith.core.errors import Invalid, NotFound, Refused, Unavailable

_PATIENCE = 30.0
_ACK = 15.0
_PAGE = 100
_PLUGINS = ("xep_0030", "xep_0045", "xep_0198", "xep_0199", "xep_0280", "xep_0297", "xep_0313", "xep_0085", "xep_0363")
_SID = "urn:xmpp:sid:0"


class Wire:
    """One session. `heard` is called with each message stanza as XML, `alive` on all traffic, `gone` at its end."""

    def __init__(
        self,
        settings: XmppSettings,
        heard: Callable[[str], None],
        alive: Callable[[], None],
        gone: Callable[[str], None],
    ) -> None:
        self._settings, self._heard, self._alive, self._gone = settings, heard, alive, gone
        self._client: Any = None
        self._started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._acks: dict[str, asyncio.Future[None]] = {}
        self._up = False
        self._services: tuple[str, ...] = ()

    async def open(self) -> None:
        """Connect, log in and say that we are there. Raises `Unavailable`, `Refused` for a wrong password."""
        client = self._client = await asyncio.to_thread(self._make, asyncio.get_running_loop())
        self._bind(client)
        given = self._settings
        client.connect(given.host or client.boundjid.domain, given.port)
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._started
        except TimeoutError:
            await self.close()
            raise Unavailable("the XMPP server does not answer") from None
        except (Unavailable, Refused):
            await self.close()
            raise
        self._up = True
        client.send_presence()

    async def close(self) -> None:
        """Leave."""
        self._up = False
        client, self._client = self._client, None
        if not self._started.done():
            self._started.cancel()
        if client is None:
            return
        client.cancel_connection_attempt()
        with contextlib.suppress(TimeoutError, Exception):
            async with asyncio.timeout(1.5):
                await client.disconnect(wait=1.0, ignore_send_queue=True)
        client.abort()
        runner = getattr(client, "_run_out_filters", None)
        if runner is not None:
            runner.cancel()
            await asyncio.gather(runner, return_exceptions=True)

    async def join(self, room: str, nick: str, password: str) -> None:
        """Enter a room. Raises `Refused`, `Unavailable`."""
        from slixmpp import JID
        from slixmpp.exceptions import PresenceError

        muc = self._there().plugin["xep_0045"]
        try:
            await muc.join_muc_wait(JID(room), nick, password=password or None, maxstanzas=0, timeout=_PATIENCE)
        except PresenceError as error:
            raise Refused(f"the room {room} does not let us in ({error.condition})") from None
        except TimeoutError:
            raise Unavailable(f"the room {room} does not answer") from None

    @property
    def names(self) -> tuple[str, ...]:
        """Hosts that are our own server."""
        domain = str(self._there().boundjid.domain)
        return tuple(name for name in (self._settings.host, domain, *self._services) if name)

    @property
    def trust(self) -> ssl.SSLContext | None:
        """Whom the server's certificate has to be signed by, where the settings say so."""
        return self._there().ssl_context if self._settings.authority is not None else None

    async def slot(self, name: str, size: int, mime: str) -> tuple[str, dict[str, str], str]:
        """Where a file may be put, with which headers, and its address afterwards (XEP-0363).

        Raises `Invalid` where the server keeps no files or none so large, `Unavailable`.
        """
        from slixmpp.exceptions import IqError, IqTimeout

        uploads = self._there().plugin["xep_0363"]
        try:
            if not self._services:
                found = await uploads.find_upload_service(timeout=_PATIENCE)
                if found is None:
                    raise Invalid("the XMPP server keeps no files", code="not_wanted")
                self._services = (str(found["from"]),)
            answer = await uploads.request_slot(_jid(self._services[0]), name, size, mime, timeout=_PATIENCE)
        except IqError as error:
            wait = error.etype == "wait"
            told = f"the XMPP server does not take the file ({error.condition})"
            raise Unavailable(told, retry_after=60.0) if wait else Invalid(told, code="not_wanted") from None
        except (IqTimeout, TimeoutError):
            raise Unavailable("the XMPP server does not answer") from None
        slot = answer["http_upload_slot"]
        headers = {str(one["name"]): str(one["value"]) for one in slot["put"]["headers"]}
        return str(slot["put"]["url"]), headers, str(slot["get"]["url"])

    async def say(self, target: str, kind: str, body: str, name: str, *, replaces: str = "", address: str = "") -> None:
        """Send one message under the id `name`; returns when the server has it. Raises `OSError` in doubt.

        It corrects the message `replaces`, and is about the file at `address`, where these are given.
        """
        client = self._there()
        stanza = client.make_message(target, body, mtype=kind)
        stanza["id"] = name
        stanza.append(_element("origin-id", _SID, id=name))
        if replaces:
            stanza.append(_element("replace", "urn:xmpp:message-correct:0", id=replaces))
        if address:
            about = _element("x", "jabber:x:oob")
            ElementTree.SubElement(about, "{jabber:x:oob}url").text = address
            stanza.append(about)
        stanza.append(_element("active", "http://jabber.org/protocol/chatstates"))
        if kind == "chat":
            stanza.append(_element("request", "urn:xmpp:receipts"))
        done = self._acks[name] = asyncio.get_running_loop().create_future()
        try:
            stanza.send()
            if "stream_management" in client.features:
                # The library's own way to ask overtakes what waits to be sent; this stands behind it.
                client.send("<r xmlns='urn:xmpp:sm:3'/>", use_filters=False)
            else:
                await self.ping()  # the server works in order: what was sent before its answer has been taken
                return
            async with asyncio.timeout(_ACK):
                await done
        except TimeoutError:
            raise TimeoutError("the XMPP server does not confirm") from None
        finally:
            self._acks.pop(name, None)

    def note(self, target: str, kind: str, name: str, namespace: str, answers: str = "") -> None:
        """Send a sign without words: a receipt, a marker, that we write."""
        client = self._there()
        stanza = client.make_message(target, mtype=kind)
        stanza.append(_element(name, namespace, **({"id": answers} if answers else {})))
        stanza.append(_element("no-store", "urn:xmpp:hints"))
        stanza.send()

    async def ping(self) -> None:
        """Ask the server for an answer. Raises `Unavailable`."""
        from slixmpp.exceptions import IqError, IqTimeout

        client = self._there()
        try:
            async with asyncio.timeout(_ACK):
                await client.plugin["xep_0199"].ping(client.boundjid.domain, timeout=_ACK)
        except IqError:
            self._alive()  # an error is an answer, too
        except (IqTimeout, TimeoutError):
            raise Unavailable("the XMPP server does not answer") from None

    async def archive(self, room: str, after: str, since: float) -> AsyncIterator[tuple[str, str]]:
        """What the archive holds behind the id `after` (without one: since an instant): ids, and stanzas as XML.

        Raises `NotFound` when there is no archive, or not this id any more.
        """
        rsm = {"max": _PAGE} | ({"after": after} if after else {})
        start = None if after else datetime.fromtimestamp(since, UTC)
        async for found in self._query(room, rsm=rsm, start=start):
            yield found

    async def latest(self, room: str, count: int, partner: str = "", since: float = 0.0) -> list[tuple[str, str]]:
        """The last `count` archived messages, none from before `since`, oldest first; with `partner` of that
        conversation only."""
        given: dict[str, Any] = {"with_jid": _jid(partner)} if partner else {}
        if since:
            given["start"] = datetime.fromtimestamp(since, UTC)
        pages = self._query(room, rsm={"max": min(count, _PAGE)}, reverse=True, total=count, **given)
        return [found async for found in pages][::-1]

    async def _query(self, room: str, **given: Any) -> AsyncIterator[tuple[str, str]]:
        from slixmpp.exceptions import IqError, IqTimeout

        client = self._there()
        by = room or str(client.boundjid.bare)
        try:
            async for message in client.plugin["xep_0313"].iterate(jid=_jid(room) if room else None, **given):
                result = message["mam_result"]
                stanza = result["forwarded"]["stanza"].xml
                for own in stanza.findall(f"{{{_SID}}}stanza-id"):
                    stanza.remove(own)
                stanza.append(_element("stanza-id", _SID, by=by, id=result["id"]))
                yield str(result["id"]), ElementTree.tostring(stanza, "unicode")
        except IqError as error:
            raise NotFound(f"the XMPP server's archive says {error.condition}") from None
        except IqTimeout:
            raise Unavailable("the XMPP server's archive does not answer") from None

    def _there(self) -> Any:
        if self._client is None or not self._up:
            raise Unavailable("the XMPP channel is not connected")
        return self._client

    def _make(self, loop: asyncio.AbstractEventLoop) -> Any:
        """A client that does not connect by itself; reads the authority's file."""
        import slixmpp

        logging.getLogger("slixmpp").setLevel(logging.CRITICAL)  # it writes what was said into its errors
        given = self._settings
        config = {
            "feature_mechanisms": {"unencrypted_scram": given.safety == "none"},
            "xep_0198": {"allow_resume": False},
        }
        client: Any = slixmpp.ClientXMPP(given.jid, given.password.get_secret_value(), config, loop=loop)
        for plugin in _PLUGINS:
            client.register_plugin(plugin, config.get(plugin, {}))
        client.plugin["feature_mechanisms"].unencrypted_scram = given.safety == "none"
        client.enable_direct_tls = given.safety == "tls"
        client.enable_starttls = given.safety == "starttls"
        client.enable_plaintext = given.safety == "none"
        client.auto_subscribe = False
        try:
            client.ssl_context = ssl.create_default_context(cafile=given.authority)
        except (OSError, ssl.SSLError):
            raise Refused(f"the certificate authority {given.authority} cannot be read") from None
        return client

    def _bind(self, client: Any) -> None:
        from slixmpp.xmlstream.handler import Callback
        from slixmpp.xmlstream.matcher import MatchXPath

        client.add_event_handler("session_start", self._welcome)
        client.add_event_handler("failed_all_auth", self._unwelcome)
        client.add_event_handler("connection_failed", self._failed)
        client.add_event_handler("disconnected", self._lost)
        client.add_event_handler("stanza_acked", self._acked)
        client.add_filter("in", self._passed)
        client.register_handler(Callback("kith", MatchXPath("{jabber:client}message"), self._message))

    def _welcome(self, _: object) -> None:
        self._settle(None)

    def _unwelcome(self, _: object) -> None:
        self._settle(Refused("the XMPP server refuses the login"))

    def _settle(self, error: Exception | None) -> None:
        if not self._started.done():
            self._started.set_exception(error) if error else self._started.set_result(None)

    def _failed(self, reason: object) -> None:
        self._settle(Unavailable(f"the XMPP server cannot be reached: {reason}"))

    def _lost(self, reason: object) -> None:
        self._settle(Unavailable(f"the XMPP server hung up: {reason}"))
        for future in tuple(self._acks.values()):
            if not future.done():
                future.set_exception(ConnectionResetError("the connection broke before the server confirmed"))
        if self._up:
            self._up = False
            self._gone(f"the connection to the XMPP server is lost: {reason}")

    def _acked(self, stanza: Any) -> None:
        future = self._acks.get(str(stanza["id"]))
        if future is not None and not future.done():
            future.set_result(None)

    def _passed(self, stanza: Any) -> Any:
        self._alive()
        return stanza

    def _message(self, stanza: Any) -> None:
        if stanza.xml.find("{urn:xmpp:mam:2}result") is None:
            self._heard(ElementTree.tostring(stanza.xml, "unicode"))


def _element(name: str, namespace: str, **attributes: str) -> ElementTree.Element:
    return ElementTree.Element(f"{{{namespace}}}{name}", attributes)


def _jid(text: str) -> Any:
    from slixmpp import JID

    return JID(text)
