import pytest

from security.roles import Permission, Role, may

MATRIX = """
                      terminal merchant finance read_only
payment_create        yes      yes      -       -
payment_read          yes      yes      yes     yes
payment_cancel        yes      yes      -       -
refund_create         yes      yes      -       -
refund_read           yes      yes      yes     yes
event_read            -        yes      yes     yes
webhook_read          -        yes      yes     yes
webhook_manage        -        yes      -       -
"""
HEAD, *ROWS = (line.split() for line in MATRIX.strip().splitlines())


@pytest.mark.parametrize(
    ("role", "permission", "allowed"),
    [
        (role, row[0], cell == "yes")
        for row in ROWS
        for role, cell in zip(HEAD, row[1:], strict=True)
    ],
)
def test_may(role, permission, allowed):
    assert may(Role(role), Permission(permission)) is allowed


def test_the_matrix_is_whole():
    assert list(Role) == HEAD
    assert [row[0] for row in ROWS] == list(Permission)


def test_an_unknown_role_is_no_role():
    with pytest.raises(ValueError, match="root"):
        Role("root")
