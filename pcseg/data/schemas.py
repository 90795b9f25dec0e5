"""Classes of ScanNet and related data sets: names, colors, benchmark ids and maps between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pcseg.errors import UserError
from pcseg.labels import IGNORE_INDEX, S3DIS, LabelSchema


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Define a ScanNet benchmark: a schema and the id of each class in its files.

    Args:
        schema: Names, order and colors; labels are 0..K-1.
        ids: Id of each class in ground truth and submissions.
        column: Column of ``scannetv2-labels.combined.tsv`` that contains these ids.
    """

    schema: LabelSchema
    ids: tuple[int, ...]
    column: str

    def to_ids(self, label: np.ndarray) -> np.ndarray:
        """Return the ids of labels 0..K-1, int64; :class:`UserError` for an unlabeled point."""
        if len(label) and (label.min() < 0 or label.max() >= len(self.ids)):
            row = int(np.flatnonzero((label < 0) | (label >= len(self.ids)))[0])
            raise UserError(
                f"label {label[row]} of point {row} is not a class of {self.schema.name!r}. "
                "Give every point a class."
            )
        return np.array(self.ids)[label]

    def to_labels(self, ids: np.ndarray) -> np.ndarray:
        """Return the labels of non-negative ids, int16; an unknown id gives ``IGNORE_INDEX``."""
        table = np.full(max(*self.ids, int(ids.max(initial=0))) + 1, IGNORE_INDEX, np.int16)
        table[list(self.ids)] = np.arange(len(self.ids))
        return table[ids]


def benchmark_of(schema: LabelSchema, *, source: str) -> Benchmark:
    """Return the benchmark that has the classes of ``schema``; ``source`` names the file in errors.

    Raises:
        UserError: No benchmark has these classes.
    """
    for benchmark in (SCANNET20_BENCHMARK, SCANNET200_BENCHMARK):
        if schema.names == benchmark.schema.names:
            return benchmark
    raise UserError(
        f"{source}: not the classes of a ScanNet benchmark: it has {list(schema.names)}, the benchmark of 20 "
        f"classes has {list(SCANNET20.names)}. Use data and a model of ScanNet."
    )


def _hex_color(text: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(text)
    return red, green, blue


# the order of KPConv, torch-points3d, superpoint transformers and OpenPoints
_SWAPPED = ("chair", "table", "bookcase", "sofa")
_ORDER = (*S3DIS.names[:7], *_SWAPPED, *S3DIS.names[11:])

S3DIS_ALTERNATIVE = LabelSchema(
    name="s3dis-alternative",
    names=_ORDER,
    colors=tuple(S3DIS.colors[S3DIS.names.index(name)] for name in _ORDER),
)
"""S3DIS in the order of KPConv and related code, where classes 7 to 10 are permuted."""

_NYU40 = """
aec7e8 wall; 98df8a floor; 1f77b4 cabinet; ffbb78 bed; bcbd22 chair; 8c564b sofa; ff9896 table; d62728 door;
c5b0d5 window; 9467bd bookshelf; c49c94 picture; 17becf counter; b24c4c blinds; f7b6d2 desk; 42bc66 shelves;
dbdb8d curtain; 8c39c5 dresser; cab934 pillow; 33b0cb mirror; c83683 floor mat; 5cc13d clothes;
4e47b7 ceiling; ac7252 books; ff7f0e refrigerator; 5ba38a television; 99629c paper; 8c9965 towel;
9edae5 shower curtain; 647d9a box; b27f87 whiteboard; 78b980 person; 926fc2 night stand; 2ca02c toilet;
708090 sink; 60cfd1 lamp; e377c2 bathtub; d55cb0 bag; 5e6ad3 otherstructure; 5254a3 otherfurniture;
645590 otherprop
"""  # in the order of nyu40 ids 1..40
_NYU40_ROWS = [row.strip().split(" ", 1) for row in _NYU40.split(";")]

NYU40 = LabelSchema(
    name="nyu40",
    names=tuple(name for _, name in _NYU40_ROWS),
    colors=tuple(_hex_color(color) for color, _ in _NYU40_ROWS),
)
"""The 40 classes of NYUv2 in ScanNet's ``labels.ply``; label k has nyu40 id k + 1.

Convention:
    ScanNet's files spell class 24 ``refridgerator``. This schema spells it as the benchmark does.
"""

_IDS20 = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39)

SCANNET20 = LabelSchema(
    name="scannet20",
    names=tuple(NYU40.names[i - 1] for i in _IDS20),
    colors=tuple(NYU40.colors[i - 1] for i in _IDS20),
)
"""The 20 classes of the ScanNet benchmark."""

SCANNET20_BENCHMARK = Benchmark(schema=SCANNET20, ids=_IDS20, column="nyu40id")
"""The benchmark with 20 classes; ids are nyu40 ids."""

_SCANNET200 = """
1 h aec7e8 wall; 2 h bcbd22 chair; 3 h 98df8a floor; 4 h ff9896 table; 5 h d62728 door; 6 h 5b87e5 couch;
7 h 1f77b4 cabinet; 8 h e55b68 shelf; 9 h f7b6d2 desk; 10 h 5be56e office chair; 11 h ffbb78 bed;
13 h 8d5be5 pillow; 14 h 708090 sink; 15 h c49c94 picture; 16 h c5b0d5 window; 17 h 2ca02c toilet;
18 h 9467bd bookshelf; 19 h e55bdf monitor; 21 h dbdb8d curtain; 22 h c0e55b book; 23 h 58da89 armchair;
24 h 3a6289 coffee table; 26 h b152ef box; 27 h ff7f0e refrigerator; 28 h edcc25 lamp;
29 h 29ce20 kitchen cabinet; 31 h 3e8f94 towel; 32 h 220e82 clothes; 33 h 8f2d73 tv;
34 h 893f0e nightstand; 35 h 17becf counter; 36 h 10d48b dresser; 38 h 5a77c9 stool; 39 c 7d1e8d cushion;
40 h 963538 plant; 41 h bac53e ceiling; 42 h e377c2 bathtub; 44 c 266480 end table;
45 c 781ff3 dining table; 46 c 9a3b67 keyboard; 47 c a9894e bag; 48 h 8ff56f backpack;
49 c 25e6cd toilet paper; 50 c 0e109b printer; 51 h c433b6 tv stand; 52 h ed5026 whiteboard;
54 c 8aaf3e blanket; 55 h 9edae5 shower curtain; 56 h 2660a7 trash can; 57 h be4df6 closet;
58 h d03154 stairs; 59 c d0c148 microwave; 62 h 37dc39 stove; 63 c 0a7d8c shoe; 64 c 4c26ca computer tower;
65 c bf1c87 bottle; 66 c d3782a bin; 67 c 76ae4c ottoman; 68 c 11f2ab bench; 69 h 1441f7 board;
70 h d03dde washing machine; 71 h a23e3c mirror; 72 h d2eb3e copier; 73 c 2d9848 basket;
74 h 236b95 sofa chair; 75 h a059ed file cabinet; 76 c e3387d fan; 77 c a98f51 laptop; 78 h 2a8f14 shower;
79 t 19a097 paper; 80 c 524be3 person; 82 c fd3bde paper towel dispenser; 84 c f08259 oven;
86 h 7bac2f blinds; 87 c 47c285 rack; 88 t 185ecd plate; 89 h 8610b3 blackboard; 90 c 9f2034 piano;
93 c d5d058 suitcase; 95 c 409e46 rail; 96 h 12a3c2 radiator; 97 h 411d99 recycling bin;
98 c b10a6d container; 99 h 985307 wardrobe; 100 t 53af1e soap dispenser; 101 c 12c799 telephone;
102 t 3d51d0 bucket; 103 t d555d8 clock; 104 c aa352a stand; 105 c a1c026 light;
106 c 17f15b laundry basket; 107 c 0c67aa pipe; 110 h 9729f5 clothes dryer; 112 t 853350 guitar;
115 t b8a25b toilet paper holder; 116 c 328a26 seat; 118 t 1fedec speaker; 120 c 2713d0 column;
121 c df1bb4 bicycle; 122 c fe8d55 ladder; 125 h 619027 bathroom stall; 128 h 6ae7b0 shower wall;
130 t 0c3da2 cup; 131 c 7c428c jacket; 132 c 894249 storage bin; 134 c fafd1a coffee maker;
136 c 37bf49 dishwasher; 138 t 3c7e92 paper towel roll; 139 c 996cea machine; 140 c b83a7d mat;
141 c 87540e windowsill; 145 t 8bf85b bar; 148 t 35c8ac toaster; 154 c 3f4586 bulletin board;
155 t be4bba ironing board; 156 c 7f3f34 fireplace; 157 t 8db619 soap dish; 159 h 389059 kitchen counter;
161 h 40a0fa doorframe; 163 t b656f5 toilet paper dispenser; 165 c 8b1235 mini fridge;
166 t 867836 fire extinguisher; 168 t 31a52a ball; 169 t 338085 hat; 170 t 2c15a3 shower curtain rod;
177 c e85dc1 water cooler; 180 t b06636 paper cutter; 185 t 74d911 tray; 188 c 36d196 shower door;
191 c 3c63cc pillar; 193 c 812b90 ledge; 195 t fc646a toaster oven; 202 t bbc449 mouse;
208 t 0d9e28 toilet seat cover dispenser; 213 c 347a98 furniture; 214 c 804cca cart;
221 t bb3273 storage container; 229 t b48d47 scale; 230 t 4dd023 tissue box; 232 t 48b7a8 light switch;
233 t 6163cb crate; 242 t ac169e power outlet; 250 c 9b4028 decoration; 261 t 769f1e sign;
264 t 45fc94 projector; 276 c 2d67ad closet door; 283 c 6f2695 vacuum cleaner; 286 t b80931 candle;
300 t bcae43 plunger; 304 t 35ce35 stuffed animal; 312 t 61ebfc headphones; 323 c 4220b6 dish rack;
325 t ec72c3 broom; 331 t f19a53 guitar case; 342 c 85f034 range hood; 356 t 10cd90 dustpan;
370 t 4b65c6 hair dryer; 392 t ed5ffb water bottle; 395 t bf3431 handicap bar; 399 t e3fe36 purse;
408 t 31ce57 vent; 417 t 307196 shower floor; 488 t 7d49b6 water pitcher; 540 h e52072 mailbox;
562 t 9e771c bowl; 570 t 3ccd1b paper bag; 572 t 12d7c9 alarm clock; 581 t 4f4c99 music stand;
609 c 860d74 projector screen; 748 c c0613f divider; 776 t 6ca312 laundry detergent;
1156 c 5fdc9c bathroom counter; 1163 h 628dd0 object; 1164 h 9013c1 bathroom vanity;
1165 h a62439 closet wall; 1166 c d4ca22 laundry hamper; 1167 c 17ce22 bathroom stall door;
1168 c 5bd3ec ceiling light; 1169 c 4f3789 trash bin; 1170 t b61375 dumbbell; 1171 h 864c0e stair rail;
1172 t 57b91c tube; 1173 c 52e0bb bathroom cabinet; 1174 t 5c6ed6 cd case; 1175 t a850ab closet rod;
1176 t c53f33 coffee kettle; 1178 c afc74d structure; 1179 t 3eb462 shower head;
1180 t 085b96 keyboard piano; 1181 t 4d0f82 case of water bottles; 1182 t 9a4160 coat rack;
1183 c c5980b storage organizer; 1184 t 3b9b2d folded chair; 1185 t 0c9391 fire alarm;
1186 t 3623db power strip; 1187 t d249b5 calendar; 1188 t dd7c4d poster; 1189 c 95d642 potted plant;
1190 t 48b986 luggage; 1191 c 2a5ec6 mattress
"""  # id in the tsv; head, common or tail; color; name
_SCANNET200_ROWS = [row.strip().split(" ", 3) for row in _SCANNET200.split(";")]

SCANNET200 = LabelSchema(
    name="scannet200",
    names=tuple(name for *_, name in _SCANNET200_ROWS),
    colors=tuple(_hex_color(color) for _, _, color, _ in _SCANNET200_ROWS),
)
"""The 200 classes of ScanNet200; 189 of them occur in the validation scenes."""

SCANNET200_BENCHMARK = Benchmark(
    schema=SCANNET200, ids=tuple(int(row[0]) for row in _SCANNET200_ROWS), column="id"
)
"""The benchmark with 200 classes; ids are those of the column ``id``, not nyu40 ids."""

SCANNET200_GROUPS = {
    group: tuple(name for _, letter, _, name in _SCANNET200_ROWS if letter == group[0])
    for group in ("head", "common", "tail")
}
"""The 66 frequent, 68 less frequent and 66 rare classes from the benchmark's ``scannet200_splits.py``."""


def class_groups(names: Sequence[str]) -> Mapping[str, tuple[int, ...]]:
    """Return the labels of the class groups with reported means, by group; empty except for ScanNet200."""
    if tuple(names) != SCANNET200.names:
        return {}
    return {
        group: tuple(map(SCANNET200.names.index, members)) for group, members in SCANNET200_GROUPS.items()
    }
