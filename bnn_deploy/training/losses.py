"""What a step minimises."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from bnn_deploy.training.recipe import Recipe


def hard_loss(logits: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:
    """Mean cross-entropy with label smoothing (Szegedy et al., CVPR 2016, section 7).

    logits: [n, classes]; labels: [n].
    """
    return F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)


def soft_loss(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 * KL(softmax(teacher / T) || softmax(logits / T)), mean over images (Hinton et al. 2015, section 2.1).

    logits, teacher: [n, classes]; no gradient reaches the teacher.
    """
    target = F.log_softmax(teacher.detach() / temperature, dim=1)
    student = F.log_softmax(logits / temperature, dim=1)
    return F.kl_div(student, target, reduction="batchmean", log_target=True) * temperature**2


def mixed_loss(logits: Tensor, labels: Tensor, teacher: Tensor | None, recipe: Recipe) -> Tensor:
    """(1 - d) * hard + d * soft with d = recipe.distillation; hard alone without a teacher."""
    share = recipe.distillation if teacher is not None else 0.0
    loss = logits.new_zeros(())
    if share < 1:
        loss = loss + (1 - share) * hard_loss(logits, labels, recipe)
    if teacher is not None and share > 0:
        loss = loss + share * soft_loss(logits, teacher, recipe.temperature)
    return loss
