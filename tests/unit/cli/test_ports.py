"""A reserved port is ours from its choice to its use; a taken one is refused with what to type."""

import socket

import pytest

from gateway.cli.dev.ports import reserved_port
from gateway.cli.failures import CommandError


def test_a_server_listens_on_it_twice_and_between_a_connection_is_refused():
    with reserved_port() as port:
        for _ in range(2):
            with socket.create_server(("127.0.0.1", port)):
                socket.create_connection(("127.0.0.1", port)).close()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))


def test_no_program_that_asks_for_any_port_gets_it():
    with reserved_port() as port, pytest.raises(OSError, match="in use"):
        socket.socket().bind(("127.0.0.1", port))


@pytest.mark.parametrize("typed", ["--port 0", 'make run ARGS="--port 0"'])
def test_a_taken_port_is_refused_with_what_to_type(typed: str):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refusal = pytest.raises(CommandError, match=f"port {port} cannot be used")
        with refusal as refused, reserved_port(port):
            pass
    assert typed in str(refused.value)


def test_a_number_that_is_no_port_is_refused():
    with pytest.raises(CommandError, match="port 65536 cannot be used"), reserved_port(65_536):
        pass
