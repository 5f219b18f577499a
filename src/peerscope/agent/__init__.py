"""One running peer: every part put together, on asyncio and on this machine."""
