"""The HTTP edge of the gateway: deliveries of webhooks, verified before anything is made of them.

Everybody can reach it. What somebody without a valid signature can make it hold or do is bounded here, by `Limits`.
"""

from mooring.gateway.limits import Limits
from mooring.gateway.server import GatewayServer

__all__ = ["GatewayServer", "Limits"]
