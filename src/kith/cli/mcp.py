"""``kith mcp``: Kith as a tool of other programs over stdin and stdout, and a look at outside servers before use."""

from __future__ import annotations

import asyncio
import importlib.util
from typing import Any

import click

from kith.cli.group import Group
from kith.cli.server import find_server
from kith.core.errors import Missing, NotFound, Unavailable
from kith.plugins import look, pinned
from kith.runtime.locale import tr
from kith.settings import load_settings

_PATIENCE = 600.0


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def mcp(context: click.Context) -> None:
    """Serve over stdin and stdout."""
    if importlib.util.find_spec("mcp") is None:
        raise Missing(tr("cli.mcp.missing"), extra="mcp")
    if context.invoked_subcommand is None:
        asyncio.run(_bridge())


@mcp.command()
@click.argument("name")
def inspect(name: str) -> None:
    """Show what an outside server offers, and its digest."""
    settings = next((one for one in load_settings().plugins.mcp if one.name == name), None)
    if settings is None:
        raise NotFound(tr("cli.inspect.unknown", name=name), hint="plugins.mcp in kith.yaml")

    offers = asyncio.run(look(settings))
    for offer in offers:
        click.secho(repr(offer.name), bold=True)
        click.echo(f"  {offer.about!a}\n  {dict(offer.schema)!a}")
    digest = pinned(offers)
    key = "same" if digest == settings.digest else "changed" if settings.digest else "new"
    click.echo(tr(f"cli.inspect.{key}", name=name, digest=digest))


async def _bridge() -> None:
    """Pass what a client asks for on to the running server, as its owner. Ends when the client closes stdin."""
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.server.lowlevel import Server
    from mcp.server.stdio import stdio_server

    server = await find_server()
    if server is None:
        raise Unavailable(tr("cli.mcp.no_server"), hint="kith serve")
    trust = server.trust() or True
    http = httpx2.AsyncClient(headers=server.headers, timeout=_PATIENCE, trust_env=False, verify=trust)
    async with http, Client(streamable_http_client(f"{server.url}/mcp", http_client=http), cache=None) as house:

        async def tools(context: Any, params: Any) -> Any:
            del context, params
            return await house.list_tools()

        async def call(context: Any, params: Any) -> Any:
            del context
            return await house.call_tool(params.name, params.arguments or {})

        bridge = Server("kith", instructions=house.instructions, on_list_tools=tools, on_call_tool=call)
        async with stdio_server() as (reading, writing):
            await bridge.run(reading, writing, bridge.create_initialization_options())
