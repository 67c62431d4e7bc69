"""What a program exchanges: closed facts on texts written by hand."""

import pytest

from gmsdi_jax.distributed.hlo import exchange

HEAD = "HloModule m, num_partitions=8\n\n"


def program(*lines, before=""):
    body = "\n".join(f"  {line}" for line in lines)
    return f"{HEAD}{before}ENTRY %main (p: f32[16]) -> f32[16] {{\n{body}\n}}\n"


def only(text):
    (kind,) = exchange(text).kinds
    return kind.kind, kind.count, kind.sent, kind.widest


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (  # each of 8 has 2 numbers of 16 and sends 7 eighths of 64 bytes
            "%a = f32[16]{0} all-gather(%p), channel_id=1, replica_groups={{0,1,2,3,4,5,6,7}}",
            ("all-gather", 1, 56, 8),
        ),
        (
            "%a = f32[16]{0} all-gather(%p), channel_id=1, replica_groups=[2,4]<=[8]",
            ("all-gather", 1, 48, 4),
        ),
        (
            "%a = f32[16]{0} all-gather(%p), channel_id=1, replica_groups=[4,2]<=[2,4]T(1,0)",
            ("all-gather", 1, 32, 2),
        ),
        (
            "%a = f32[16]{0} all-gather(%p), channel_id=1, "
            "replica_groups=mesh['axis_0'=2,'axis_1'=4] {'axis_1'}, dimensions={0}",
            ("all-gather", 1, 48, 4),
        ),
        (  # as a device mesh of another order, and half an axis
            "%a = f32[16]{0} all-gather(%p), channel_id=1, replica_groups="
            "mesh['axis_0'=4,'axis_1'=2], device_ids=([2,4]T(1,0)) {'axis_0'}, dimensions={0}",
            ("all-gather", 1, 48, 4),
        ),
        (
            "%a = f32[16]{0} all-gather(%p), channel_id=1, "
            "replica_groups=mesh['axis_0'=8] {'axis_0':(4)2}, dimensions={0}",
            ("all-gather", 1, 32, 2),
        ),
        (
            "%a = (f32[2]{0:T(128)S(1)}, f32[16]{0}) all-gather-start(%p), channel_id=1",
            ("all-gather", 1, 56, 8),
        ),
        (
            "%a = (bf16[16]{0}, /*index=1*/f32[]{:T(128)}) all-reduce(%p, %q), channel_id=1, "
            "replica_groups={{0,1},{2,3},{4,5},{6,7}}, to_apply=%add",
            ("all-reduce", 1, 36, 2),
        ),
        (
            "%a = f32[2]{0} reduce-scatter(%p), channel_id=1, replica_groups=[1,8]<=[8]",
            ("reduce-scatter", 1, 56, 8),
        ),
        (
            "%a = (f32[16]{0}, f32[16]{0}, u32[], u32[]) collective-permute-start(%p), "
            "channel_id=1, source_target_pairs={{0,1}}",
            ("collective-permute", 1, 64, 8),
        ),
        (
            "%a = s8[16]{0} all-to-all(%p), channel_id=1, replica_groups={}",
            ("all-to-all", 1, 14, 8),
        ),
        (
            "%s = (f32[1,8,128]{2,1,0:T(8,128)}, u32[], token[]) send(%x, %t), channel_id=7, "
            'frontend_attributes={_xla_megascale_transfer_type="ALL_REDUCE"}',
            ("dcn-all-reduce", 1, 4096, 8),
        ),
    ],
)
def test_one_collective(line, expected):
    assert only(program(line)) == expected


GATHER = "%a = f32[16]{0} all-gather(%p), channel_id=1"


def test_a_pair_counts_once():
    start = "%a = (f32[2]{0}, f32[16]{0}) all-gather-start(%p), channel_id=1"
    assert only(program(start, "%b = f32[16]{0} all-gather-done(%a)")) == ("all-gather", 1, 56, 8)


def test_copies_in_computations_of_their_own_count_once():
    copies = "".join(f"%async.{n} (p: f32[2]) -> f32[16] {{\n  {GATHER}\n}}\n\n" for n in range(2))
    calls = [f"%f.{n} = f32[16] fusion(%p), kind=kCustom, calls=%async.{n}" for n in range(2)]
    assert only(program(*calls, before=copies)) == ("all-gather", 1, 56, 8)


def test_all_of_one_channel_count_where_they_stand_side_by_side():
    """As shard_map writes them: 239 gradients of a model once passed for one."""
    sums = [
        f"%r.{n} = f32[2]{{0}} reduce-scatter(%p), channel_id=1, to_apply=%add.{n}"
        for n in range(3)
    ]
    assert only(program(*sums)) == ("reduce-scatter", 3, 3 * 56, 8)
    before = "".join(
        f"%async.{n} (p: f32[16]) -> f32[2] {{\n  {line}\n}}\n\n" for n, line in enumerate(sums)
    )
    calls = [f"%f.{n} = f32[2] fusion(%p), kind=kCustom, calls=%async.{n}" for n in range(3)]
    assert only(program(*calls, before=before)) == ("reduce-scatter", 3, 3 * 56, 8)


LOOP = """%body (p: f32[16]) -> f32[16] {
  %a = f32[16]{0} all-reduce(%p), channel_id=1, replica_groups=[1,8]<=[8], to_apply=%add
}

"""


def test_a_loop_counts_as_often_as_it_runs():
    loop = (
        "%w = f32[16] while(%p), condition=%cond, body=%body, "
        'backend_config={"known_trip_count":{"n":"5"}}'
    )
    assert only(program(loop, before=LOOP)) == ("all-reduce", 5, 5 * 112, 8)


def test_a_loop_bounded_in_its_condition():
    condition = (
        "%cond (p: f32[16]) -> pred[] {\n  %c = s32[]{:T(128)} constant(3)\n"
        "  %l = pred[] compare(%i, %c), direction=LT\n}\n\n"
    )
    loop = "%w = f32[16] while(%p), condition=%cond, body=%body"
    found = exchange(program(loop, before=LOOP + condition))
    assert (found.kinds[0].count, found.open_loops) == (3, 0)


def test_a_loop_of_unknown_length_is_told():
    loop = "%w = f32[16] while(%p), condition=%cond, body=%body"
    found = exchange(program(loop, before=LOOP))
    assert (found.kinds[0].count, found.open_loops) == (1, 1)


def test_what_never_runs_does_not_count():
    assert exchange(program("%x = f32[16] add(%p, %p)", before=LOOP)).kinds == ()


def test_bytes_within_and_between_slices():
    send = (
        "%s = (f32[4]{0}, u32[], token[]) send(%x, %t), channel_id=2, "
        'frontend_attributes={_xla_megascale_transfer_type="ALL_REDUCE"}'
    )
    found = exchange(program(GATHER, send))
    assert (found.sent(), found.sent(dcn=False), found.sent(dcn=True)) == (72, 56, 16)
