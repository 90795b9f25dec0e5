"""Names of the parameters of the published heads (CTNet, EncNet, CCNet), and their weights on points."""

from torch import Tensor

from pcseg.official.names.name_map import Names, under


def _paddle_unit(published: str, ours: str, kind: str) -> Names:
    return {f"{published}._conv": f"{ours}.{kind}", f"{published}._batch_norm": f"{ours}.norm"}


def _torch_unit(published: str, ours: str, kind: str) -> Names:
    return {f"{published}.0": f"{ours}.{kind}", f"{published}.1": f"{ours}.norm"}


# CTNet, PaddleSeg
CHANNEL_GATE = {f"conv{i}": f"convs.{i}" for i in range(4)} | {"line": "mix"}
CHANNEL_CONTEXT = under("ccm_layer", "gate", CHANNEL_GATE) | {
    "fc1.0._conv": "classify",
    "fc1.0._batch_norm": "norm",
}
CLASS_ATTENTION = (
    _paddle_unit("f_query", "query", "conv")
    | _paddle_unit("f_key", "key", "linear")
    | _paddle_unit("f_value", "value", "linear")
    | _paddle_unit("f_up", "up", "linear")
    | _paddle_unit("fuse", "fuse", "conv")
    # names of earlier commits
    | _paddle_unit("f_pixel", "query", "conv")
    | _paddle_unit("f_object", "key", "linear")
    | _paddle_unit("f_down", "value", "linear")
)
SPATIAL_CONTEXT = (
    under("scm_block", "attention", CLASS_ATTENTION)
    | _paddle_unit("conv3x3.0", "local", "conv")
    | _paddle_unit("conv1x1.0", "merge", "linear")
)
CT_HEAD = (
    _paddle_unit("conv3x3", "body.reduce", "conv")
    | _paddle_unit("conv3x3_ocr", "body.reduce", "conv")  # earlier commits
    | under("ccm", "body.channel_context", CHANNEL_CONTEXT)
    | under("scm", "body.spatial_context", SPATIAL_CONTEXT)
    | {"cls_head": "body.classify"}
    | _paddle_unit("aux_head.0", "auxiliary.reduce", "linear")
    | {"aux_head.1": "auxiliary.classify"}
)

# EncNet, PyTorch-Encoding
ENCODING = {"codewords": "codewords", "scale": "smoothing"}
CONTEXT_ENCODING = (
    _torch_unit("encoding", "project", "linear")
    | under("encoding.3", "encoding", ENCODING)
    | {"encoding.4": "norm", "fc.0": "gate", "selayer": "presence"}
)
ENC_HEAD = (
    _torch_unit("conv5", "body.reduce", "conv")
    | _torch_unit("connect.0", "body.connect.0", "linear")
    | _torch_unit("connect.1", "body.connect.1", "linear")
    | _torch_unit("fusion", "body.fuse", "conv")
    | under("encmodule", "body.context", CONTEXT_ENCODING)
    | {"conv6.1": "body.classify"}
)
FCN_BODY = _torch_unit("conv5", "reduce", "conv") | {"conv5.4": "classify"}

# CCNet
CRISS_CROSS = {"query_conv": "query", "key_conv": "key", "value_conv": "value", "gamma": "gamma"}
RCCA_HEAD = (
    _torch_unit("conva", "body.before", "conv")
    | under("cca", "body.attention", CRISS_CROSS)
    | _torch_unit("convb", "body.after", "conv")
    | _torch_unit("bottleneck", "body.merge", "conv")
    | {"bottleneck.3": "body.classify"}
)
DSN_BODY = {"0": "reduce.conv", "1": "reduce.norm", "3": "classify"}


def inflate(_name: str, weight: Tensor) -> Tensor:
    """Return a weight of an image head for the point head with the same body.

    A convolution ``(O, I, k, k)`` becomes a submanifold one ``(k³, I, O)``; other tensors stay unchanged.

    Convention:
        The kernel fills the slice z = 0 of the cube, with the columns of the image along x and its rows along y. The
        slices above and below are zero, so that on a planar grid both heads compute the same. 1x1 convolutions
        become linear maps ``(O, I)``.
    """
    if weight.ndim != 4:
        return weight
    out_channels, in_channels, size, _ = weight.shape
    if size == 1:
        return weight[..., 0, 0]
    cube = weight.new_zeros(size, size, size, in_channels, out_channels)
    cube[:, :, size // 2] = weight.permute(3, 2, 1, 0)
    return cube.flatten(0, 2)
