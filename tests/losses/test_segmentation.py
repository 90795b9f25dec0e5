import pytest
import torch

from pcseg.errors import UserError
from pcseg.losses.cross_entropy import cross_entropy
from pcseg.losses.lovasz import lovasz_softmax
from pcseg.losses.ohem import hard_labels
from pcseg.losses.segmentation import SegmentationLoss

COUNTS = torch.tensor([900, 100, 25])


def test_terms_are_named_and_weighted() -> None:
    logits, target = torch.randn(20, 3), torch.randint(-1, 3, (20,))
    losses = SegmentationLoss(COUNTS, ce=0.5, lovasz=2.0, label_smoothing=0.1)(logits, target)
    assert list(losses) == ["ce", "lovasz"]
    torch.testing.assert_close(losses["ce"], 0.5 * cross_entropy(logits, target, label_smoothing=0.1))
    torch.testing.assert_close(losses["lovasz"], 2 * lovasz_softmax(logits, target))


def test_a_term_of_factor_zero_is_left_out() -> None:
    assert list(SegmentationLoss(COUNTS, lovasz=0.0)(torch.randn(4, 3), torch.zeros(4).long())) == ["ce"]


def test_lovasz_of_a_part_of_the_rows() -> None:
    logits, target = torch.randn(20, 3), torch.randint(-1, 3, (20,))
    losses = SegmentationLoss(COUNTS, lovasz_every=5)(logits, target)
    torch.testing.assert_close(losses["lovasz"], lovasz_softmax(logits[::5], target[::5]))
    torch.testing.assert_close(losses["ce"], cross_entropy(logits, target))


def test_class_weights_by_rule_and_by_list_agree() -> None:
    logits, target = torch.randn(20, 3), torch.randint(0, 3, (20,))
    by_rule = SegmentationLoss(COUNTS, class_weights="inverse_sqrt")
    assert by_rule.weight is not None
    by_list = SegmentationLoss(COUNTS, class_weights=by_rule.weight.tolist())
    torch.testing.assert_close(by_rule(logits, target)["ce"], by_list(logits, target)["ce"])
    assert by_rule(logits, target)["ce"] != SegmentationLoss(COUNTS)(logits, target)["ce"]


def test_it_puts_nothing_into_checkpoints() -> None:
    assert SegmentationLoss(COUNTS, class_weights="inverse").state_dict() == {}


def test_a_batch_without_labels_gives_finite_zero_gradients() -> None:
    logits = torch.randn(6, 3, requires_grad=True)
    loss = SegmentationLoss(COUNTS, class_weights="inverse")
    torch.stack(list(loss(logits, torch.full((6,), -1)).values())).sum().backward()
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_weights": [1.0, 2.0]}, "2 values for 3 classes"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"ce": 0.0, "lovasz": 0.0}, "not both 0"),
        ({"ce": -1.0}, "ce: -1.0 is out of range"),
        ({"class_weights": "frequency"}, "loss.class_weights: unknown value 'frequency'"),
        ({"lovasz_every": 0}, "lovasz_every: 0 is out of range"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        SegmentationLoss(COUNTS, **options)


def test_hard_examples_alone() -> None:
    logits, target = torch.randn(50, 3, requires_grad=True), torch.randint(-1, 3, (50,))
    expected = cross_entropy(logits, hard_labels(logits, target, threshold=0.4, min_kept=3))
    found = SegmentationLoss(COUNTS, hard_threshold=0.4, min_hard=3)(logits, target)["ce"]
    torch.testing.assert_close(found, expected)
    assert found > SegmentationLoss(COUNTS)(logits, target)["ce"]
    ignored = SegmentationLoss(COUNTS, hard_threshold=0.4, lovasz=0.0)(logits, torch.full((50,), -1))["ce"]
    assert ignored == 0
    with pytest.raises(UserError, match=r"hard_threshold: 2\.0 is out of range"):
        SegmentationLoss(COUNTS, hard_threshold=2.0)
