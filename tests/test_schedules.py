"""Learning-rate schedules: against their formulas, against PyTorch, and resumed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet import optim
from minisegnet.nn import Parameter

# ---------------------------------------------------------------------------- schedules


def two_groups(kind=optim.SGD, **options):
    a, b = (Parameter(np.ones(n)) for n in (2, 3))
    return kind([{"params": [a]}, {"params": [b], "lr": 0.05}], lr=0.2, **options)


def sequence(schedule, steps):
    found = []
    for _ in range(steps):
        assert schedule.last_lr == schedule.get_last_lr()
        assert schedule.last_lr == [g["lr"] for g in schedule.optimizer.param_groups]
        found.append(schedule.last_lr)
        schedule.step()
    return np.array(found)


@pytest.mark.parametrize(
    ("make", "factors"),
    [
        (lambda o: optim.StepLR(o, 2, gamma=0.5), [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125]),
        (lambda o: optim.MultiStepLR(o, [4, 1, 4], gamma=0.5), [1, 0.5, 0.5, 0.5, 0.125, 0.125]),
        (lambda o: optim.PolynomialLR(o, 4, power=1.0), [1, 0.75, 0.5, 0.25, 0, 0, 0]),
        (lambda o: optim.PolynomialLR(o, 4, power=2.0), [1, 9 / 16, 0.25, 1 / 16, 0, 0]),
        (
            lambda o: optim.CosineAnnealingLR(o, 4),
            [1, 0.5 + 8**-0.5, 0.5, 0.5 - 8**-0.5, 0, 0.5 - 8**-0.5, 0.5, 0.5 + 8**-0.5, 1],
        ),
    ],
)
def test_schedules_follow_their_formula(make, factors):
    found = sequence(make(two_groups()), len(factors))
    np.testing.assert_allclose(found, np.outer(factors, [0.2, 0.05]), rtol=1e-12, atol=1e-15)


def test_cosine_ends_at_its_minimum():
    found = sequence(optim.CosineAnnealingLR(two_groups(), 3, eta_min=0.01), 4)
    np.testing.assert_allclose(found[:, 0], [0.2, 0.1525, 0.0575, 0.01], rtol=1e-12)


SCHEDULES = {
    "StepLR": st.fixed_dictionaries({"step_size": st.integers(1, 5), "gamma": st.floats(0.1, 1.2)}),
    "MultiStepLR": st.fixed_dictionaries(
        {
            "milestones": st.lists(st.integers(1, 15), max_size=4),
            "gamma": st.floats(0.1, 1.2),
        }
    ),
    "PolynomialLR": st.fixed_dictionaries(
        {"total_iters": st.integers(1, 25), "power": st.floats(0.3, 3)}
    ),
    "CosineAnnealingLR": st.fixed_dictionaries(
        {"T_max": st.integers(1, 25), "eta_min": st.sampled_from([0.0, 0.01])}
    ),
    "OneCycleLR": st.fixed_dictionaries(
        {
            "max_lr": st.sampled_from([0.3, [0.3, 0.1]]),
            "total_steps": st.integers(16, 40),
            "pct_start": st.sampled_from([0.2, 0.3, 0.45]),
            "anneal_strategy": st.sampled_from(["cos", "linear"]),
            "cycle_momentum": st.booleans(),
            "base_momentum": st.sampled_from([0.8, [0.7, 0.85]]),
            "max_momentum": st.sampled_from([0.9, [0.95, 0.99]]),
            "div_factor": st.floats(2, 30),
            "final_div_factor": st.floats(2, 1e4),
            "three_phase": st.booleans(),
        }
    ),
}


def momenta(optimizer):
    return [g["betas"][0] if "betas" in g else g["momentum"] for g in optimizer.param_groups]


@pytest.mark.torch
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
def test_schedules_are_those_of_torch(name, kind):
    torch = pytest.importorskip("torch")

    @given(options=SCHEDULES[name])
    def check(options):
        extra = {"momentum": 0.9} if kind == "SGD" else {}
        mine = two_groups(getattr(optim, kind), **extra)
        p, q = (torch.nn.Parameter(torch.zeros(2)) for _ in range(2))
        theirs = getattr(torch.optim, kind)(
            [{"params": [p]}, {"params": [q], "lr": 0.05}], lr=0.2, **extra
        )
        schedule = getattr(optim, name)(mine, **options)
        reference = getattr(torch.optim.lr_scheduler, name)(theirs, **options)
        for _ in range(15):
            np.testing.assert_allclose(
                schedule.last_lr, reference.get_last_lr(), rtol=1e-9, atol=1e-15
            )
            np.testing.assert_allclose(momenta(mine), momenta(theirs), rtol=1e-9)
            theirs.step()
            schedule.step()
            reference.step()

    check()


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.RMSprop, optim.Muon])
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_resumed_schedule_goes_on_as_before(name, kind):
    @given(options=SCHEDULES[name], stop=st.integers(0, 12))
    def check(options, stop):
        make = getattr(optim, name)
        whole = make(two_groups(kind), **options)
        expected = sequence(whole, 15)
        first = make(two_groups(kind), **options)
        sequence(first, stop)
        state = json.loads(json.dumps(first.state_dict()))
        # The options come from the state, so others may be given here.
        others = {
            "StepLR": {"step_size": 9},
            "MultiStepLR": {"milestones": [2]},
            "OneCycleLR": {"max_lr": 5.0, "total_steps": 2},
        }
        second = make(two_groups(kind), **others.get(name, {}) or options)
        second.load_state_dict(state)
        if name == "OneCycleLR" and options["cycle_momentum"]:
            assert momenta(second.optimizer) == momenta(first.optimizer)
        np.testing.assert_array_equal(sequence(second, 15 - stop), expected[stop:])
        if name == "OneCycleLR" and options["cycle_momentum"]:
            assert momenta(second.optimizer) == momenta(whole.optimizer)

    check()


def test_a_schedule_made_over_a_resumed_optimiser_starts_from_its_first_rate():
    optimizer = two_groups()
    schedule = optim.StepLR(optimizer, 1, gamma=0.5)
    schedule.step()
    resumed = two_groups()
    resumed.load_state_dict(optimizer.state_dict())
    assert [g["lr"] for g in resumed.param_groups] == [0.1, 0.025]
    again = optim.StepLR(resumed, 1, gamma=0.5, last_epoch=schedule.last_epoch)
    assert again.last_lr == [0.05, 0.0125]
    assert again.base_lrs == [0.2, 0.05]


def test_one_cycle_by_hand_and_its_end():
    optimizer = two_groups(optim.Adam)
    schedule = optim.OneCycleLR(
        optimizer,
        max_lr=[1.0, 0.1],
        epochs=3,
        steps_per_epoch=3,
        pct_start=1 / 3,
        anneal_strategy="linear",
        div_factor=4.0,
        final_div_factor=10.0,
    )
    assert momenta(optimizer) == [0.95, 0.95]
    found = sequence(schedule, 9)
    rise = [0.25, 0.625, 1.0]
    fall = [1.0 + (0.025 - 1.0) * i / 6 for i in range(1, 7)]
    np.testing.assert_allclose(found, np.outer(rise + fall, [1.0, 0.1]), rtol=1e-12)
    assert schedule.last_epoch == 9  # the step after the last iteration changes nothing
    np.testing.assert_allclose(schedule.last_lr, [0.025, 0.0025], rtol=1e-12)
    np.testing.assert_allclose(momenta(optimizer), [0.95, 0.95])
    assert optimizer.param_groups[0]["betas"][1] == 0.999
    with pytest.raises(ValueError, match="step 10 of 9: the cycle is over"):
        schedule.step()


def test_one_cycle_whose_rise_is_a_single_step():
    schedule = optim.OneCycleLR(two_groups(), 0.4, total_steps=10, pct_start=0.1)
    found = sequence(schedule, 10)[:, 0]
    assert np.isfinite(found).all()
    assert found[0] == 0.4
    assert (np.diff(found) < 0).all()


def test_states_of_other_schedules_are_refused():
    step = optim.StepLR(two_groups(), 2)
    with pytest.raises(
        ValueError, match=r"another kind of schedule: only one of the two has .*T_max"
    ):
        step.load_state_dict(optim.CosineAnnealingLR(two_groups(), 3).state_dict())
    one_group = optim.StepLR(optim.SGD([Parameter([1.0])]), 2)
    with pytest.raises(ValueError, match="1 groups and the optimiser 2"):
        step.load_state_dict(one_group.state_dict())
    assert "step_size=2" in repr(step)
