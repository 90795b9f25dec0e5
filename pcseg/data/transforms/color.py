"""Color augmentations, as in Choy et al., 2019 (Minkowski networks) and Pointcept."""

from dataclasses import dataclass, replace

import numpy as np

from pcseg.data.sample import Sample, Transform
from pcseg.values import Probability, checked


@checked("ChromaticAutoContrast.")
@dataclass(frozen=True, kw_only=True)
class ChromaticAutoContrast(Transform):
    """Stretch every channel of the sample to 0..255 and blend the result with the original colors.

    Args:
        p: Probability.
        blend: Weight of the stretched colors; default: random in 0..1.
    """

    p: Probability = 0.2
    blend: Probability | None = None

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.p or sample.num_points == 0:
            return sample
        blend = rng.random() if self.blend is None else self.blend
        low, high = sample.color.min(axis=0), sample.color.max(axis=0)
        # c + blend * (stretched - c) as one scale and one shift per channel; a constant channel stays
        stretch = 255 / np.maximum(high - low, np.float32(1e-6))
        scale = np.where(high > low, 1 - blend + blend * stretch, 1).astype(np.float32)
        shift = np.where(high > low, -blend * low * stretch, 0).astype(np.float32)
        return replace(sample, color=sample.color * scale + shift)


@checked("ChromaticTranslation.")
@dataclass(frozen=True, kw_only=True)
class ChromaticTranslation(Transform):
    """Add one random color to the whole sample.

    Args:
        p: Probability.
        ratio: Maximum change of a channel as a fraction of 255.
    """

    p: Probability = 0.95
    ratio: Probability = 0.05

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        shift = rng.uniform(-255 * self.ratio, 255 * self.ratio, size=3).astype(np.float32)
        return replace(sample, color=np.clip(sample.color + shift, 0, 255))


@checked("ChromaticJitter.")
@dataclass(frozen=True, kw_only=True)
class ChromaticJitter(Transform):
    """Add normal noise to the color of every point.

    Args:
        p: Probability.
        std: Standard deviation as a fraction of 255.
    """

    p: Probability = 0.95
    std: Probability = 0.05

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        noise = rng.standard_normal(sample.color.shape, dtype=np.float32)
        noise *= np.float32(255 * self.std)
        noise += sample.color  # colors may still be uint8
        return replace(sample, color=np.clip(noise, 0, 255, out=noise))
