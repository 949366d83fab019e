"""The channels: every way in which people reach Kith, each a folder, run by one manager."""

from kith.channels.manager import ChannelManager, ChannelPorts
from kith.channels.settings import ChannelsSettings, DeliverySettings, check_channels

__all__ = ["ChannelManager", "ChannelPorts", "ChannelsSettings", "DeliverySettings", "check_channels"]
