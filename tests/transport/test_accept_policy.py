"""Who may begin a handshake, and who has to wait, prove its address, or go."""

from peerscope.transport.accept_policy import (
    CROWD,
    HANDSHAKES_MAX,
    IDENTITY_TIMEOUT_S,
    PER_PREFIX_BURST,
    PER_PREFIX_S,
    PREFIXES_MAX,
    AcceptPolicy,
    Decision,
)

HERE = "127.0.0.1:4600"


def elsewhere(number: int) -> str:
    return f"10.{number >> 8}.{number & 255}.1:4600"


def test_an_agent_on_loopback_takes_nobody_from_elsewhere() -> None:
    accept_policy = AcceptPolicy(local_only=True)
    for address, expected in {
        HERE: Decision.COME_IN,
        "[::1]:9": Decision.COME_IN,
        "[::ffff:127.0.0.1]:9": Decision.COME_IN,
        "192.168.0.7:9": Decision.REFUSE,
        "[2001:db8::1]:9": Decision.REFUSE,
        "[::ffff:192.168.0.7]:9": Decision.REFUSE,
    }.items():
        assert accept_policy.ask(address, 0.0, is_proved=True) is expected, address
    assert AcceptPolicy(local_only=False).ask("192.168.0.7:9", 0.0, is_proved=True) is Decision.COME_IN


def test_while_several_are_under_way_addresses_have_to_be_proved() -> None:
    accept_policy = AcceptPolicy(local_only=False)
    for number in range(CROWD):
        assert accept_policy.ask(elsewhere(number), 0.0, is_proved=False) is Decision.COME_IN
        accept_policy.began(0.0)
    assert accept_policy.ask(elsewhere(99), 0.0, is_proved=False) is Decision.PROVE_ADDRESS
    assert accept_policy.ask(elsewhere(99), 0.0, is_proved=True) is Decision.COME_IN


def test_handshakes_that_hang_make_room_for_others_after_a_while() -> None:
    accept_policy = AcceptPolicy(local_only=False)
    numbers = [accept_policy.began(number / 1000) for number in range(HANDSHAKES_MAX)]
    assert accept_policy.ask(elsewhere(1), 1.0, is_proved=True) is Decision.REFUSE
    assert accept_policy.late(1.0) is None
    assert accept_policy.ask(elsewhere(1), IDENTITY_TIMEOUT_S + 0.01, is_proved=True) is Decision.COME_IN
    assert accept_policy.late(IDENTITY_TIMEOUT_S + 0.01) == numbers[0]
    accept_policy.ended(numbers[0])
    assert accept_policy.late(IDENTITY_TIMEOUT_S + 0.01) is None
    accept_policy.ended(numbers[0])  # it ends once more, by itself
    assert len(accept_policy) == HANDSHAKES_MAX - 1


def test_one_prefix_begins_so_many_a_second_and_leaves_others_alone() -> None:
    accept_policy = AcceptPolicy(local_only=False)
    answers = [accept_policy.ask("10.1.1.7:1", 0.0, is_proved=True) for _ in range(int(PER_PREFIX_BURST) + 50)]
    assert answers.count(Decision.COME_IN) == PER_PREFIX_BURST
    assert accept_policy.ask("10.1.1.8:1", 0.0, is_proved=True) is Decision.REFUSE
    assert accept_policy.ask("10.1.2.7:1", 0.0, is_proved=True) is Decision.COME_IN
    later = [accept_policy.ask("10.1.1.7:1", 1.0, is_proved=True) for _ in range(100)]
    assert later.count(Decision.COME_IN) == PER_PREFIX_S


def test_prefixes_are_remembered_up_to_a_limit() -> None:
    accept_policy = AcceptPolicy(local_only=False)
    for number in range(2 * PREFIXES_MAX):
        accept_policy.ask(elsewhere(number), 0.0, is_proved=True)
    assert len(accept_policy._buckets) == PREFIXES_MAX
