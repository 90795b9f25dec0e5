"""Class centers and the context-aware classifier against loops over tokens and classes in float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pcseg.errors import UserError
from pcseg.losses.distillation import distillation_loss
from pcseg.nn.class_centers import ClassCenters, class_centers, class_mass, class_prob, true_shares
from pcseg.nn.context_classifier import ContextClassifier

PTR = torch.tensor([0, 5, 5, 12, 13])
CHANNELS, CLASSES = 6, 4


@pytest.fixture(autouse=True)
def float64() -> object:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def scene() -> tuple[Tensor, Tensor, Tensor]:
    """Return tokens, their probabilities, and true shares, of which some tokens have none and class 3 is absent."""
    truth = torch.rand(13, CLASSES)
    truth[:, 3] = 0
    truth[::3] = 0
    truth = truth / truth.sum(1, keepdim=True).clamp(min=1e-9)
    return torch.randn(13, CHANNELS), (2 * torch.randn(13, CLASSES)).softmax(1), truth


def center(x: Tensor, weight: Tensor, cloud: int, label: int, prior: float) -> Tensor:
    total, mass = torch.zeros(CHANNELS), torch.tensor(prior)
    for i in range(int(PTR[cloud]), int(PTR[cloud + 1])):
        total, mass = total + weight[i, label] * x[i], mass + weight[i, label]
    return total / mass


def test_labels_replace_probabilities() -> None:
    logits, truth = torch.randn(3, 2), torch.tensor([[0.25, 0.75], [0.0, 0.0], [1.0, 0.0]])
    found = class_prob(logits, truth)
    expected = torch.stack([truth[0], logits[1].exp() / logits[1].exp().sum(), truth[2]])
    torch.testing.assert_close(found, expected)


def test_centers_equal_loops() -> None:
    x, prob, _ = scene()
    found = class_centers(x, prob, PTR, prior=0.5)
    for cloud in range(4):
        for label in range(CLASSES):
            torch.testing.assert_close(found[cloud, label], center(x, prob, cloud, label, 0.5))


def test_tokens_of_classes_equal_loops() -> None:
    x, prob, _ = scene()
    module = ClassCenters(CHANNELS, CLASSES)
    found = module(x, prob, PTR)
    for cloud in range(4):
        rows = prob[PTR[cloud] : PTR[cloud + 1]]
        for label in range(CLASSES):
            share = rows[:, label].mean() if len(rows) else torch.zeros(())
            expected = module.normalize(center(x, prob, cloud, label, 1.0)) + module.embedding[label]
            expected = expected + module.share(((share + 0.001).log() / 3)[None])
            torch.testing.assert_close(found[cloud, label], expected)


def classifier(**options: float) -> ContextClassifier:
    module = ContextClassifier(CHANNELS, **options).double()
    module.project[0].norm.running_mean.normal_()
    return module.eval()


@pytest.mark.parametrize("confidence", [0.0, 0.6])
def test_classifier_equals_loops(confidence: float) -> None:
    x, prob, truth = scene()
    module, weight = classifier(confidence=confidence), torch.randn(CLASSES, CHANNELS)
    logits, taught = module(x, prob, weight, PTR, truth)
    for cloud in range(4):
        for i in range(int(PTR[cloud]), int(PTR[cloud + 1])):
            feature = module.project(x[i][None])[0]
            for label in range(CLASSES):
                sure = torch.where(prob.max(1).values[:, None] >= confidence, prob, 0)
                made = torch.cat([center(x, sure, cloud, label, 1e-7), weight[label]])
                expected = 15 * F.cosine_similarity(feature, module.weights(made), 0)
                torch.testing.assert_close(logits[i, label], expected)
                present = truth[PTR[cloud] : PTR[cloud + 1], label].any()
                own = center(x, truth, cloud, label, 1e-4) if present else weight[label]
                expected = 15 * F.cosine_similarity(
                    feature, module.teacher_weights(torch.cat([own, weight[label]])), 0
                )
                torch.testing.assert_close(taught[i, label], expected)


def test_gradients() -> None:
    x, prob, truth = scene()
    module = classifier(confidence=0.6)
    weight = torch.randn(CLASSES, CHANNELS)
    inputs = [t.requires_grad_() for t in (x, prob, weight)]
    assert torch.autograd.gradcheck(lambda *args: module(*args, PTR)[0], inputs, fast_mode=True)
    fixed = weight.detach()  # a center of an absent class takes the weight without its gradient
    assert torch.autograd.gradcheck(lambda x: module(x, prob, fixed, PTR, truth)[1], inputs[:1])
    centers = ClassCenters(CHANNELS, CLASSES)
    assert torch.autograd.gradcheck(lambda x, prob: centers(x, prob, PTR), inputs[:2])


def test_without_labels_there_is_no_teacher() -> None:
    x, prob, truth = scene()
    weight = torch.randn(CLASSES, CHANNELS)
    assert classifier()(x, prob, weight, PTR)[1] is None
    assert classifier(teacher=False)(x, prob, weight, PTR, truth)[1] is None


@pytest.mark.parametrize("options", [{"confidence": 1.0}, {"confidence": -0.1}, {"temperature": 0.0}])
def test_bad_options(options: dict[str, float]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(options))}: .* is out of range"):
        classifier(**options)


def test_distillation_equals_loops() -> None:
    logits, teacher = torch.randn(9, CLASSES, requires_grad=True), torch.randn(9, CLASSES)
    y = torch.tensor([0, 1, 1, -1, 3, 3, 3, -1, 0])
    total = 0.0
    for label in (0, 1, 3):
        above = below = 0.0
        for i in range(9):
            if y[i] == label:
                p, q = logits[i].softmax(0), teacher[i].softmax(0)
                target = q / 2 + F.one_hot(y[i], CLASSES) / 2
                entropy = -(q * q.log()).sum()
                above, below = above - entropy * (target * p.log()).sum(), below + entropy
        total = total + above / (below + 1e-4) / 3
    torch.testing.assert_close(distillation_loss(logits, teacher, y), total)
    assert torch.autograd.gradcheck(lambda logits: distillation_loss(logits, teacher, y), (logits,))


@pytest.mark.parametrize("classes", [1, CLASSES])
def test_distillation_without_doubt_or_labels_is_finite(classes: int) -> None:
    logits, y = torch.randn(6, classes, requires_grad=True), torch.zeros(6, dtype=torch.int64)
    sure = 1e4 * torch.eye(classes)[y]
    for teacher, labels in ((sure, y), (logits, torch.full_like(y, -1))):
        (gradient,) = torch.autograd.grad(distillation_loss(logits, teacher, labels), logits)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sums_over_a_large_cloud_in_half_precision(dtype: torch.dtype) -> None:
    """A class with more tokens than float16 can count."""
    count = 80_000
    x, label = torch.full((count, 2), 3.0, dtype=dtype), torch.arange(count) % 8 == 0
    weight, ptr = torch.stack([~label, label], 1).to(dtype), torch.tensor([0, count])
    torch.testing.assert_close(
        class_mass(weight, ptr), torch.tensor([[70_000.0, 10_000.0]]), check_dtype=False
    )
    centers = class_centers(x, weight, ptr, prior=1.0)
    torch.testing.assert_close(centers, torch.full((1, 2, 2), 3.0), check_dtype=False, rtol=1e-3, atol=0)
    shares = true_shares(torch.zeros(1, 2, dtype=dtype), weight.float(), ptr)
    torch.testing.assert_close(shares, torch.tensor([[0.875, 0.125]], dtype=dtype))
    module = ClassCenters(2, 2)
    exact = module(x.double(), weight.double(), ptr)
    found = module.to(dtype)(x, weight, ptr)
    torch.testing.assert_close(found.double(), exact, rtol=0.02, atol=0.02)
