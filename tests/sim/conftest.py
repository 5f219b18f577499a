"""The command line as a function, to ask networks that are only simulated."""

from command_line import peerscope as peerscope
