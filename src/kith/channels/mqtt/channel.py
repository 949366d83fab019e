"""The MQTT channel (MQTT 3.1.1), over Eclipse Paho in a thread of its own.

Inwards: the broker keeps the session, and a message is acknowledged to it only after it was accepted; whatever was not
comes again. Outwards: every reply has an id that stays the same however often it is published, so that a subscriber
can tell a second copy.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from kith.channels.kit import Arrival, Kit, collect, deliver, hand_over, let_go, load_cursor, media_parts, save_cursor
from kith.channels.mqtt.parse import NAME, own_name, parse, unpack
from kith.channels.mqtt.render import render
from kith.channels.mqtt.settings import MqttSettings
from kith.core.errors import Invalid, KithError, Refused, Unavailable
from kith.core.people import Parcel
from kith.core.ports import Accept
from kith.core.turn import Sent
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_PATIENCE = 15.0
_QUEUE = 2000
# Return codes of CONNACK (MQTT 3.1.1, section 3.2.2.3) that trying again does not mend.
_HOPELESS = (
    "unsupported protocol version",
    "client identifier not valid",
    "bad user name or password",
    "not authorized",
)


class MqttChannel:
    """One client of one broker. Paho's callbacks run in its thread and only pass things on to the event loop."""

    def __init__(self, settings: MqttSettings, kit: Kit) -> None:
        self._settings, self._kit = settings, kit
        self._client: Any = None
        self._accept: Accept | None = None
        self._up = False
        self._hearing: asyncio.Task[None] | None = None
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self._waiting: dict[tuple[str, int], asyncio.Future[Any]] = {}
        self._names: dict[str, str] = {}

    async def start(self, accept: Accept) -> None:
        """Connect, take up the session and subscribe. Raises `Unavailable`, `Refused`, `Invalid` without a host."""
        given = self._settings
        if not given.host:
            raise Invalid("the MQTT channel needs the broker's name", hint="set channels.mqtt.host")
        kept = await load_cursor(self._kit, NAME, given.account)
        self._names = {str(mid): str(name) for mid, name in kept.get("names", {}).items()}
        self._accept, self._queue = accept, asyncio.Queue()
        client = self._client = await asyncio.to_thread(self._make)
        self._bind(client, asyncio.get_running_loop())
        connected = self._expect("connect", 0)
        try:
            await asyncio.to_thread(client.connect, given.host, given.port, given.keepalive)
            client.loop_start()
            self._check(await self._within(connected))
            self._up = True
            wrong, mid = client.subscribe(f"{given.prefix}/in/#", 1)
            if wrong:  # it may have gone before it was said to be up: nobody will tell of that again
                raise Unavailable("the connection to the MQTT broker is lost")
            codes = await self._within(self._expect("subscribe", int(mid or 0)))
        except OSError as error:
            await self.stop()
            raise Unavailable(f"the MQTT broker {given.host} cannot be reached: {error.strerror or error}") from None
        except (KithError, ValueError):
            await self.stop()
            raise
        if any(code.is_failure for code in codes):
            await self.stop()
            raise Refused(f"the MQTT broker does not let us listen to {given.prefix}/in/#")
        await self.probe()
        self._hearing = asyncio.create_task(self._hear())

    async def stop(self) -> None:
        """Say good-bye and disconnect; the broker keeps the session."""
        self._accept, self._up = None, False
        hearing, self._hearing = self._hearing, None
        await let_go([hearing])
        client, self._client = self._client, None
        self._give_up("the MQTT channel was stopped")
        if client is not None:
            await asyncio.to_thread(_part, client, f"{self._settings.prefix}/status")

    async def probe(self) -> None:
        """Say that we are here, and have it acknowledged. Raises `Unavailable`."""
        await self._publish(f"{self._settings.prefix}/status", b"online", 1, retain=True)

    async def send(self, parcel: Parcel) -> Sent:
        """Publish to ``<prefix>/out/<person>…``; returns when the broker has it. Raises `Unavailable`."""
        if any(char in parcel.target for char in "+#\0") or not parcel.target:
            raise Refused("the reply's target is no topic")
        topic = f"{self._settings.prefix}/out/{parcel.target}"

        async def publish(index: int, payload: bytes) -> str:
            await self._publish(topic, payload, self._settings.qos)
            return f"{parcel.id}-{index}"

        files = {part.blob: await self._kit.blobs.fetch(part) for part in media_parts(parcel.message)}
        return await deliver(self._kit, parcel, render(parcel, bare=self._settings.bare, files=files), publish)

    async def _publish(self, topic: str, payload: bytes, qos: int, *, retain: bool = False) -> None:
        client = self._client
        if client is None or not self._up:
            raise Unavailable("the MQTT channel is not connected")
        info = client.publish(topic, payload, qos, retain)
        await self._within(self._expect("publish", info.mid))

    def _make(self) -> Any:
        """A client that does not connect by itself; reads the authority's file."""
        import paho.mqtt.client as paho
        from paho.mqtt.enums import CallbackAPIVersion

        given = self._settings
        client: Any = paho.Client(
            CallbackAPIVersion.VERSION2, given.client, clean_session=False, reconnect_on_failure=False, manual_ack=True
        )
        if given.tls:
            try:
                client.tls_set_context(ssl.create_default_context(cafile=given.authority))
            except (OSError, ssl.SSLError):
                raise Refused(f"the certificate authority {given.authority} cannot be read") from None
        if given.username:
            client.username_pw_set(given.username, given.password.get_secret_value())
        client.will_set(f"{given.prefix}/status", b"offline", 1, retain=True)
        return client

    def _bind(self, client: Any, loop: asyncio.AbstractEventLoop) -> None:
        def pass_on(act: Callable[..., None], *places: int) -> Callable[..., None]:
            """A callback that hands the arguments at `places` to `act`, in the event loop."""

            def callback(*given: Any) -> None:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(act, client, *(given[place] for place in places))

            return callback

        client.on_connect = pass_on(self._connected, 3)
        client.on_subscribe = pass_on(self._subscribed, 2, 3)
        client.on_publish = pass_on(self._published, 2)
        client.on_message = pass_on(self._arrived, 2)
        client.on_disconnect = pass_on(self._gone, 3)

    def _expect(self, kind: str, number: int) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[kind, number] = future
        future.add_done_callback(lambda _: self._waiting.pop((kind, number), None))
        return future

    async def _within(self, future: asyncio.Future[Any]) -> Any:
        try:
            async with asyncio.timeout(_PATIENCE):
                return await future
        except TimeoutError:
            raise Unavailable("the MQTT broker does not answer") from None

    def _check(self, code: Any) -> None:
        if code.is_failure:
            told = f"the MQTT broker refuses us: {code}"
            if str(code).lower() in _HOPELESS:
                raise Refused(told, hint="look at username, password and client under channels.mqtt")
            raise Unavailable(told, retry_after=5.0)

    def _connected(self, client: Any, code: Any) -> None:
        self._done(client, "connect", 0, code)

    def _subscribed(self, client: Any, mid: int, codes: Any) -> None:
        self._done(client, "subscribe", mid, codes)

    def _published(self, client: Any, mid: int) -> None:
        self._done(client, "publish", mid, None)

    def _done(self, client: Any, kind: str, number: int, value: Any) -> None:
        future = self._waiting.get((kind, number))
        if client is self._client:
            self._kit.alive()
            if future is not None and not future.done():
                future.set_result(value)

    def _arrived(self, client: Any, message: Any) -> None:
        if client is not self._client:
            return
        self._kit.alive()
        if message.qos or self._queue.qsize() < _QUEUE:  # what is to be acknowledged is bounded by the broker
            self._queue.put_nowait(message)

    def _gone(self, client: Any, reason: Any) -> None:
        if client is not self._client:
            return
        self._give_up(f"the connection to the MQTT broker is lost: {reason}")
        if self._up:
            self._up = False
            self._kit.lost(f"the connection to the MQTT broker is lost: {reason}")

    def _give_up(self, reason: str) -> None:
        for future in tuple(self._waiting.values()):
            if not future.done():
                future.set_exception(Unavailable(reason))
                future.exception()  # nobody may be waiting

    async def _hear(self) -> None:
        try:
            while True:
                message = await self._queue.get()
                await self._take(message)
        except Exception as error:  # noqa: BLE001  # a bug ends this connection and not the channel
            _log.exception("mqtt loop failed", error=type(error).__name__)
            self._kit.lost(f"the MQTT channel failed ({type(error).__name__})")

    async def _take(self, message: Any) -> None:
        """Accept one message, then acknowledge it. What can never be accepted is acknowledged, too."""
        arrival = Arrival(self._settings.account, self._kit.clock.now())
        raw = {"topic": message.topic, "payload": bytes(message.payload), "retain": message.retain}
        try:
            raw["name"] = await self._name(message)
            envelope = parse(raw, arrival, self._settings.prefix)
        except (Invalid, UnicodeDecodeError) as error:
            _log.info("publication not understood", error=type(error).__name__)
            envelope = None
        if envelope is not None:
            envelope = await collect(self._kit, envelope, _unpacker(raw["payload"]))
        if envelope is not None and not await hand_over(self._kit, lambda: self._accept, envelope):
            return
        if message.qos and self._client is not None:
            self._client.ack(message.mid, message.qos)

    async def _name(self, message: Any) -> str:
        """An id for a message without one, kept before it is accepted: the broker marks what it sends again, and
        sends it under the same packet id, which is all there is to tell it from a new one."""
        if not message.qos or own_name(bytes(message.payload)):
            return self._kit.ids.new("x")
        mid = str(message.mid)
        if not (message.dup and mid in self._names):
            self._names.pop(mid, None)
            self._names[mid] = self._kit.ids.new("x")
            while len(self._names) > 100:
                self._names.pop(next(iter(self._names)))
            await save_cursor(self._kit, NAME, self._settings.account, {"names": self._names})
        return self._names[mid]


def _unpacker(payload: bytes) -> Callable[[str, int], Awaitable[tuple[bytes, str]]]:
    async def fetch(place: str, most: int) -> tuple[bytes, str]:
        return await asyncio.to_thread(unpack, payload, int(place), most), ""

    return fetch


def _part(client: Any, status: str) -> None:
    """Disconnect in order, so that the broker does not speak our will; blocks until Paho's thread has ended."""
    if client.is_connected():
        client.publish(status, b"offline", 1, True)
        client.disconnect()
    client.loop_stop()
