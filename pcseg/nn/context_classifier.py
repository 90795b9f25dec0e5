"""The context-aware classifier (CAC): every cloud is classified by weights made of its own class centers."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcseg.errors import require
from pcseg.nn.class_centers import class_centers, class_mass
from pcseg.nn.norms import BatchNorm, NormFactory, linear_norm
from pcseg.ops.clouds import cloud_ptr, split_clouds


class ContextClassifier(nn.Module):
    r"""Context-aware classifier (Tian et al., AAAI 2023).

    .. math:: y_{ik} = \tau \cos\bigl(\phi(x_i),\ \theta([c_k, w_k])\bigr)

    with the centers c of the classes of the cloud, the weights w of a linear classifier that the cloud does not
    change, and small networks :math:`\phi` and :math:`\theta`. A teacher computes the same from the centers of
    the true classes, with its own :math:`\theta`; for absent classes it takes :math:`w_k` as center.

    Args:
        channels: C.
        confidence: Tokens whose largest probability is below it are left out of the centers; 0 keeps all.
        temperature: :math:`\tau`.
        teacher: Whether there is a teacher.
        norm: Makes the norm.

    Convention:
        Centers are those of a cloud. The implementations of the authors average the true centers over a batch.
    """

    def __init__(
        self,
        channels: int,
        *,
        confidence: float = 0.75,
        temperature: float = 15.0,
        teacher: bool = True,
        norm: NormFactory = BatchNorm,
    ) -> None:
        super().__init__()
        require(0 <= confidence < 1, "confidence", confidence, "Choose a probability below 1.")
        require(temperature > 0, "temperature", temperature, "Choose a number > 0.")
        self.confidence, self.temperature = confidence, temperature
        self.weights = _weight_network(channels)
        self.teacher_weights = _weight_network(channels) if teacher else None
        inner = linear_norm(channels, channels, bias=False, norm=norm)
        self.project = nn.Sequential(inner, nn.Linear(channels, channels))

    def forward(
        self,
        x: Tensor,
        prob: Tensor,
        weight: Tensor,
        ptr: Tensor | None = None,
        truth: Tensor | None = None,
        *,
        batch: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return logits ``(N, K)``, and those of the teacher if there are true classes and a teacher.

        Args:
            x: Tokens, ``(N, C)``.
            prob: Class probabilities of the tokens, ``(N, K)``.
            weight: Weights of the linear classifier that the probabilities come from, ``(K, C)``.
            ptr, batch: The clouds, see :func:`~pcseg.ops.clouds.cloud_ptr`.
            truth: Shares of the true classes of the tokens, ``(N, K)``.
        """
        ptr = cloud_ptr(x, ptr, batch)
        unit = F.normalize(self.project(x), dim=1)
        sure = prob * (prob.amax(1, keepdim=True) >= self.confidence)
        centers = class_centers(x, sure, ptr, prior=1e-7).to(x.dtype)
        logits = self._classify(unit, self.weights, centers, weight, ptr)
        if truth is None or self.teacher_weights is None:
            return logits, None
        truth = truth.to(prob)
        known = (class_mass(truth, ptr) > 0)[:, :, None]
        centers = class_centers(x, truth, ptr, prior=1e-4).to(x.dtype).where(known, weight.detach())
        return logits, self._classify(unit, self.teacher_weights, centers, weight, ptr)

    def _classify(
        self, unit: Tensor, network: nn.Module, centers: Tensor, weight: Tensor, ptr: Tensor
    ) -> Tensor:
        inputs = torch.cat([centers, weight.to(centers.dtype).expand_as(centers)], 2)
        classes = F.normalize(network(inputs), dim=2)
        clouds = zip(split_clouds(unit, ptr), classes)
        return self.temperature * torch.cat([rows @ vectors.mT for rows, vectors in clouds])


def _weight_network(channels: int) -> nn.Sequential:
    wide = 2 * channels
    return nn.Sequential(nn.Linear(wide, wide, bias=False), nn.ReLU(), nn.Linear(wide, channels))
