"""Who may begin a handshake, and who has to wait, prove its address, or go."""

from peerscope.transport.accept_policy import (
    CROWD,
    HANDSHAKES_MAX,
    PATIENCE_S,
    PER_PREFIX_BURST,
    PER_PREFIX_S,
    PREFIXES_MAX,
    Answer,
    Doorman,
)

HERE = "127.0.0.1:4600"


def elsewhere(number: int) -> str:
    return f"10.{number >> 8}.{number & 255}.1:4600"


def test_an_agent_on_loopback_takes_nobody_from_elsewhere() -> None:
    doorman = Doorman(local_only=True)
    for address, expected in {
        HERE: Answer.COME_IN,
        "[::1]:9": Answer.COME_IN,
        "[::ffff:127.0.0.1]:9": Answer.COME_IN,
        "192.168.0.7:9": Answer.REFUSE,
        "[2001:db8::1]:9": Answer.REFUSE,
        "[::ffff:192.168.0.7]:9": Answer.REFUSE,
    }.items():
        assert doorman.ask(address, 0.0, is_proved=True) is expected, address
    assert Doorman(local_only=False).ask("192.168.0.7:9", 0.0, is_proved=True) is Answer.COME_IN


def test_while_several_are_under_way_addresses_have_to_be_proved() -> None:
    doorman = Doorman(local_only=False)
    for number in range(CROWD):
        assert doorman.ask(elsewhere(number), 0.0, is_proved=False) is Answer.COME_IN
        doorman.began(0.0)
    assert doorman.ask(elsewhere(99), 0.0, is_proved=False) is Answer.PROVE_ADDRESS
    assert doorman.ask(elsewhere(99), 0.0, is_proved=True) is Answer.COME_IN


def test_handshakes_that_hang_make_room_for_others_after_a_while() -> None:
    doorman = Doorman(local_only=False)
    numbers = [doorman.began(number / 1000) for number in range(HANDSHAKES_MAX)]
    assert doorman.ask(elsewhere(1), 1.0, is_proved=True) is Answer.REFUSE
    assert doorman.late(1.0) is None
    assert doorman.ask(elsewhere(1), PATIENCE_S + 0.01, is_proved=True) is Answer.COME_IN
    assert doorman.late(PATIENCE_S + 0.01) == numbers[0]
    doorman.ended(numbers[0])
    assert doorman.late(PATIENCE_S + 0.01) is None
    doorman.ended(numbers[0])  # it ends once more, by itself
    assert len(doorman) == HANDSHAKES_MAX - 1


def test_one_prefix_begins_so_many_a_second_and_leaves_others_alone() -> None:
    doorman = Doorman(local_only=False)
    answers = [doorman.ask("10.1.1.7:1", 0.0, is_proved=True) for _ in range(int(PER_PREFIX_BURST) + 50)]
    assert answers.count(Answer.COME_IN) == PER_PREFIX_BURST
    assert doorman.ask("10.1.1.8:1", 0.0, is_proved=True) is Answer.REFUSE
    assert doorman.ask("10.1.2.7:1", 0.0, is_proved=True) is Answer.COME_IN
    later = [doorman.ask("10.1.1.7:1", 1.0, is_proved=True) for _ in range(100)]
    assert later.count(Answer.COME_IN) == PER_PREFIX_S


def test_prefixes_are_remembered_up_to_a_limit() -> None:
    doorman = Doorman(local_only=False)
    for number in range(2 * PREFIXES_MAX):
        doorman.ask(elsewhere(number), 0.0, is_proved=True)
    assert len(doorman._buckets) == PREFIXES_MAX
