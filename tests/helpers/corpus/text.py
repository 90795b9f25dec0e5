"""Text tables: headers, separators, line ends, encodings, missing values, counts and words."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from helpers.corpus.headerless import BYTES, MANY
from helpers.corpus.rows import Row

POS = [[0.5, 1.5, 2.5], [-1, 2, 3], [4, 5, 6.25]]
COLOR = [[255, 0, 10], [20, 30, 40], [7, 8, 200]]
LABEL = [3, 0, 5]
LINES = [[*map(str, (*p, *c, k))] for p, c, k in zip(POS, COLOR, LABEL)]
NAN = float("nan")


def table(head: str, separator: str = ",", *, end: str = "\n", tail: str = "", quote: str = "") -> bytes:
    """A header and the three points with color and label."""
    lines = [separator.join(f"{quote}{value}{quote}" for value in line) + tail for line in LINES]
    return (head + end + end.join(lines) + end).encode()


def frame(**columns: Any) -> pd.DataFrame:
    """The three points as pandas has them."""
    data = dict(zip("xyz", np.array(POS).T)) | dict(zip(("red", "green", "blue"), np.array(COLOR).T))
    return pd.DataFrame(data | {"label": LABEL} | columns)


def by_pandas(data: pd.DataFrame, **options: Any) -> Callable[[Path], None]:
    return lambda path: data.to_csv(path, **options)


def full(id: str, content: Any, file: str = "a.csv", **truth: Any) -> Row:
    """A file with positions, colors and labels."""
    return Row(
        id=id, file=file, content=content, pos=POS, **{"color": COLOR, "columns": {"label": LABEL}} | truth
    )


def refused(id: str, content: Any, refusal: str, file: str = "a.csv") -> Row:
    return Row(id=id, file=file, content=content, refusal=refusal)


NAMES = "x,y,z,red,green,blue,label"
HEADERS = [
    full("plain names", table(NAMES)),
    full("capital names", table("X,Y,Z,Red,Green,Blue,Label")),
    full("short colors", table("X,Y,Z,R,G,B,label")),
    full("blanks around names", table("x , y , z , red , green , blue , label")),
    full("quoted names", table('"X","Y","Z","Red","Green","Blue","label"')),
    full("quoted numbers", table('"x";"y";"z";"red";"green";"blue";"label"', ";", quote='"')),
    full("units in brackets", table("X [m];Y [m];Z [m];R;G;B;label", ";"), unit="m"),
    full("units in parentheses", table("X(mm),Y(mm),Z(mm),R,G,B,label"), unit="mm"),
    full("feet", table("x (ft),y (ft),z (ft),r,g,b,label"), unit="ft"),
    full("survey feet", table("x [us-ft],y [us-ft],z [us-ft],r,g,b,label"), unit="ft-us"),
    full("a line of units", table("x,y,z,r,g,b,label\ncm,cm,cm,,,,"), unit="cm"),
    refused("two units", table("x [m],y [m],z [ft],r,g,b,label"), "units ft, m differ"),
    full("easting", table("easting;northing;elevation;red;green;blue;label", ";")),
    full("easting and height", table("Easting [m];Northing [m];Height [m];R;G;B;label", ";"), unit="m"),
    full("east north up", table("East,North,Up,R,G,B,label")),
    full("x y height", table("x,y,height,r,g,b,label")),
    full("coordinates", table("x_coord,y_coord,z_coord,r,g,b,label")),
    full("ParaView", table('"Points:0","Points:1","Points:2","RGB:0","RGB:1","RGB:2","label"')),
    full("CloudCompare", table("//X Y Z R G B Scalar_field", " "), "a.txt", columns={"field": LABEL}),
    full("CloudCompare, semicolons", table("//X;Y;Z;R;G;B;Scalar field", ";"), "a.asc",
         columns={"scalar field": LABEL}),
    full("CloudCompare, prefix", table("//X;Y;Z;R;G;B;scalar_Label", ";"), "a.txt"),
    full("CloudCompare, brackets in a name", table("//X,Y,Z,R,G,B,Illuminance (PCV)"), "a.txt",
         columns={"illuminance (pcv)": LABEL}),
    full("CloudCompare, count below the header", table("//X Y Z R G B label\n3", " "), "a.txt"),
    full("savetxt", table("# x y z red green blue label", " "), "a.txt"),
    full("savetxt, commas above blanks", table("# x, y, z, red, green, blue, label", " "), "a.txt"),
    full("comment before the names", table("# Columns: x y z red green blue label", " "), "a.txt"),
    full("comments above the header", table(f"# by a scanner\n# 2020-01-02 12:00\n{NAMES}"), "a.txt"),
    full("title above the header", table(f"Scan of office 12\n{NAMES}")),
    full("title below the header", table(f"{NAMES}\nScan of office 12")),
    full("Latin-1", table("x,y,z,red,green,blue,label,höhe").replace("ö".encode(), b"\xf6")
         .replace(b"\n", b",1\n").replace(b"he,1", b"he"), columns={"höhe": [1, 1, 1]}),
    full("Windows line ends", table(NAMES, end="\r\n")),
    full("Mac line ends", table(NAMES, end="\r")),
    full("no last line end", table(NAMES).rstrip()),
    full("blank lines", table(NAMES).replace(b"\n", b"\n\n")),
    full("lines of blanks", table(NAMES).replace(b"\n", b"\n   \n")),
    full("tabs", table(NAMES.replace(",", "\t"), "\t"), "a.txt"),
    full("bars", table(NAMES.replace(",", "|"), "|"), "a.txt"),
    full("blanks in columns", table(NAMES.replace(",", "  "), "   "), "a.xyz"),
    full("commas and blanks", table(NAMES.replace(",", ", "), ", ")),
    full("blanks before commas", table(NAMES.replace(",", " ,"), " ,")),
    full("separator at every end", table(NAMES + ",", tail=",")),
    full("separator at ends of data", table(NAMES, tail=",")),
    full("two separators at ends", table(NAMES, tail=",,")),
    full("separator at the end of the header", table(NAMES + ",")),
    full("semicolons at ends", table(NAMES.replace(",", ";") + ";", ";", tail=";")),
    full("tabs at ends", table(NAMES.replace(",", "\t"), "\t", tail="\t")),
    full("index without a name", by_pandas(frame()), columns={"column 1": [0, 1, 2], "label": LABEL}),
    full("index of words", by_pandas(frame().set_axis(["p", "q", "r"])), columns={"column 1": ["p", "q", "r"]}),
    Row(id="blank in a name", file="a.csv", content=b"Point ID,X,Y,Z\n7,0.5,1.5,2.5\n8,-1,2,3\n9,4,5,6.25\n", pos=POS,
        columns={"point id": [7, 8, 9]}),
    full("unnamed column between", table("x,y,z,,red,green,blue,label").replace(b"2.5,", b"2.5,9,")
         .replace(b"2,3,", b"2,3,9,").replace(b"6.25,", b"6.25,9,"), columns={"column 4": [9, 9, 9], "label": LABEL}),
    refused("one name too many", table(NAMES + ",instance"), "8 names"),
    refused("one name too few", table("x,y,z,red,green,blue"), "6 names"),
    refused("row names of R", b'"x" "y" "z"\n"1" 0.5 1.5 2.5\n"2" 1 2 3\n', "3 names", "a.txt"),
    refused("blank in a name, separated by blanks", b"Point ID X Y Z\n7 0.5 1.5 2.5\n", "5 names", "a.txt"),
    refused("a name twice", table("x,y,z,red,green,blue,x"), "two columns are named 'x'"),
    refused("longitude", b"lon,lat,height\n11.5,48.1,500\n11.6,48.2,501\n", "no columns x, y and z"),
    refused("comment that names too few", b"# x y z\n1 2 3 4 5 6\n7 8 9 1 2 3\n", "3 names", "a.txt"),
    refused("ESRI grid", b"ncols 4\nnrows 2\ncellsize 1\n1.5 2.5 3.5 4.5\n5 6 7 8.5\n", "2 names", "a.asc"),
    refused("words in x", b"x,y,z\na,1,2\nb,3,4\n", "no columns x, y and z of numbers"),
    refused("header repeated", table(NAMES) + table(NAMES), "line 5: 'x' is not a number"),
]  # fmt: skip

FIRST_LINES = [
    Row(id=f"first line {value}", file="a.csv",
        content=f"x,y,z,v\n{value},{value},{value},1\n-1,2,3,1\n4,5,6.25,1\n".encode(),
        pos=[[truth] * 3, *POS[1:]], columns={"v": [1, 1, 1]})
    for value, truth in (("nan", NAN), ("NaN", NAN), ("1.#QNAN", NAN), ("-1.#IND", NAN), ("-1.#IND00", NAN),
                         ("-nan(ind)", NAN), ("nan(snan)", NAN), ("1.#INF", np.inf), ("-inf", -np.inf), ("", NAN),
                         ("null", NAN), ("N/A", NAN), ("None", NAN), ("1e0", 1), ("+1", 1), ("1.", 1), (".5", 0.5))
] + [
    Row(id=f"first line {value}, no header", file="a.xyz",
        content=f"{value} {value} {value}\n-1 2 3\n4 5 6.25\n".encode(),
        pos=[[truth] * 3, *POS[1:]])
    for value, truth in (("nan", NAN), ("1.#QNAN", NAN), ("-nan(ind)", NAN), ("inf", np.inf), ("1.#INF00", np.inf))
]  # fmt: skip

MARKS = [
    full(f"{encoding}, byte order mark {mark.hex() or None}", mark + table(NAMES).decode().encode(encoding))
    for encoding, mark in (("utf-8", b"\xef\xbb\xbf"), ("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff"),
                           ("utf-32-le", b"\xff\xfe\0\0"), ("utf-16-le", b""), ("utf-16-be", b""))
] + [
    Row(id="byte order mark and no header", file="a.xyz",
        content=b"\xef\xbb\xbf0.5 1.5 2.5\n-1 2 3\n4 5 6.25\n", pos=POS),
    full("byte order mark by pandas", by_pandas(frame(), index=False, encoding="utf-8-sig")),
    full("UTF-16 by pandas", by_pandas(frame(), index=False, encoding="utf-16")),
    refused("cut UTF-16", b"\xff\xfe1\x00 \x00\xd8", "not a text file"),
]  # fmt: skip

numbered = pd.DataFrame(np.column_stack([MANY, BYTES]))
WRITTEN = [
    full("pandas", by_pandas(frame(), index=False)),
    full("pandas, tabs", by_pandas(frame(), index=False, sep="\t"), "a.txt"),
    full("pandas, all quoted", by_pandas(frame(), index=False, quoting=1)),
    full("pandas, words", by_pandas(frame(label=["wall", "office chair", "floor"]), index=False),
         columns={"label": ["wall", "office chair", "floor"]}),
    full("pandas, words and blanks", by_pandas(frame(label=["wall", "office chair", "floor"]), index=False, sep=" "),
         "a.txt", columns={"label": ["wall", "office chair", "floor"]}),
    full("pandas, words with commas", by_pandas(frame(label=["a,b", "c", 'd"e']), index=False),
         columns={"label": ["a,b", "c", 'd"e']}),
    full("pandas, missing word", by_pandas(frame(label=["wall", None, "floor"]), index=False),
         columns={"label": ["wall", "", "floor"]}),
    full("pandas, missing first word", by_pandas(frame(label=[None, "wall", "wall"]), index=False),
         columns={"label": ["", "wall", "wall"]}),
    full("pandas, missing label", by_pandas(frame(label=[1, NAN, 2]), index=False), columns={"label": [1, NAN, 2]}),
    full("pandas, missing first label", by_pandas(frame(label=[NAN, 1, 2]), index=False, sep="\t"),
         columns={"label": [NAN, 1, 2]}),
    full("pandas, NaN as written", by_pandas(frame(label=[NAN, 1, 2]), index=False, na_rep="nan", sep=" "),
         columns={"label": [NAN, 1, 2]}),
    full("pandas, decimal commas", by_pandas(frame(), index=False, sep=";", decimal=",")),
    Row(id="pandas, numbers as names", file="a.csv", content=by_pandas(numbered, index=False), pos=MANY, color=BYTES,
        atol=1e-6),
    Row(id="pandas, index and numbers as names", file="a.csv",
        content=by_pandas(numbered), refusal="column 1 counts"),
    full("fractions Rf Gf Bf", by_pandas(frame(**dict(zip(("red", "green", "blue"), np.array(COLOR).T / 255)))
                                         .set_axis([*"XYZ", "Rf", "Gf", "Bf", "label"], axis=1), index=False)),
    Row(id="normals of CloudCompare", file="a.asc",
        content=b"//X Y Z Nx Ny Nz\n0.5 1.5 2.5 0 0 1\n-1 2 3 0 1 0\n4 5 6.25 1 0 0\n",
        pos=POS, normal=[[0, 0, 1], [0, 1, 0], [1, 0, 0]]),
    Row(id="normals of PDAL", file="a.csv",
        content=b"X,Y,Z,NormalX,NormalY,NormalZ\n0.5,1.5,2.5,0,0,2\n-1,2,3,0,1,0\n4,5,6.25,1,0,0\n",
        pos=POS, normal=[[0, 0, 1], [0, 1, 0], [1, 0, 0]]),
    full("PDAL", b'"X","Y","Z","Intensity","Red","Green","Blue","Classification"\n'
         b"0.500,1.500,2.500,10.000,65280.000,0.000,2560.000,2.000\n-1.000,2.000,3.000,20.000,5120.000,7680.000,10240.000,6.000\n"
         b"4.000,5.000,6.250,30.000,1792.000,2048.000,51200.000,6.000\n",
         color=[[254, 0, 10], [20, 30, 40], [7, 8, 199]], columns={"classification": [2, 6, 6]}, remarks=("16-bit",)),
]  # fmt: skip

SCANS = [
    Row(id="count", file="a.pts", content=b"3\n0.5 1.5 2.5\n-1 2 3\n4 5 6.25\n", pos=POS),
    Row(id="two scans", file="a.pts",
        content=b"1\n0.5 1.5 2.5 9 1 2 3\n2\n-1 2 3 9 1 2 3\n4 5 6.25 9 1 2 3\n", pos=POS,
        color=[[1, 2, 3]] * 3, remarks=("2 scans of 1, 2 points",)),
    Row(id="three scans, Windows", file="a.pts",
        content=b"1\r\n0.5 1.5 2.5\r\n1\r\n-1 2 3\r\n1\r\n4 5 6.25\r\n", pos=POS,
        remarks=("3 scans",)),
    refused("count of a cut file", b"4\n0.5 1.5 2.5\n-1 2 3\n4 5 6.25\n", "announces 4 points but holds 3", "a.pts"),
    refused("number in the middle", b"0.5 1.5 2.5\n2\n4 5 6.25\n", "line 2: has 1 values", "a.xyz"),
    Row(id="comments between points", file="a.txt",
        content=b"# a\n0.5 1.5 2.5\n# b\n-1 2 3\n// c\n4 5 6.25\n", pos=POS),
    refused("one column", b"1\n2\n3\n", "1 column(s)", "a.txt"),
]  # fmt: skip

FIELDS = [
    *(Row(id=f"no {name}", file="a.csv", pos=POS, color=[first, [127] * 3, last], remarks=("1 points have no color",),
          content=f"x,y,z,{names}\n0.5,1.5,2.5,{a}\n-1,2,3,{b}\n4,5,6.25,{c}\n".encode())
      for name, names, a, b, c, first, last in (
          ("color", "r,g,b", "255,0,10", ",,", "7,8,200", COLOR[0], COLOR[2]),
          ("fractions of color", "r,g,b", "1,0,.2", "nan,nan,nan", "0,.4,1", [255, 0, 51], [0, 102, 255]),
          ("packed color", "rgb", "16711690", "", "460998", COLOR[0], [7, 8, 198]))),
    Row(id="empty fields", file="a.csv", content=b"x,y,z,a,b\n0.5,1.5,2.5,,1\n-1,2,3,4,\n4,5,6.25,,\n", pos=POS,
        columns={"a": [NAN, 4, NAN], "b": [1, NAN, NAN]}),
    Row(id="empty columns", file="a.csv", content=b"x,y,z,a,b\n0.5,1.5,2.5,,\n-1,2,3,,\n4,5,6.25,,\n", pos=POS,
        columns={"a": [NAN] * 3, "b": [NAN] * 3}),
    Row(id="empty lines of Excel", file="a.csv",
        content=b"x,y,z\n0.5,1.5,2.5\n-1,2,3\n,,\n", pos=[*POS[:2], [NAN] * 3]),
    Row(id="first line with a word only", file="a.csv", content=b"x,y,z,label\n,,,wall\n-1,2,3,wall\n",
        pos=[[NAN] * 3, POS[1]], columns={"label": ["wall"] * 2}),
    Row(id="empty first line", file="a.csv", content=b"x,y,z\n,,\n-1,2,3\n", pos=[[NAN] * 3, POS[1]]),
    Row(id="empty first line, no header", file="a.csv", content=b";;\n-1;2;3\n", pos=[[NAN] * 3, POS[1]]),
    Row(id="only empty lines", file="a.csv", content=b"x,y,z\n,,\n,,\n", pos=[[NAN] * 3] * 2),
    Row(id="empty coordinate", file="a.csv", content=b"x,y,z\n0.5,1.5,2.5\n-1,,3\n4,5,6.25\n",
        pos=[POS[0], [-1, NAN, 3], POS[2]]),
    Row(id="several tabs as blanks", file="a.txt",
        content=b"0.5\t\t1.5\t\t2.5\n-1\t\t2\t\t3\n4\t\t5\t\t6.25\n", pos=POS),
    Row(id="decimal commas and blanks", file="a.txt", content=b"0,5 1,5 2,5\n-1 2 3\n4 5 6,25\n", pos=POS),
    Row(id="decimal commas of millimeters", file="a.csv",
        content=b"x;y;z\n0,500;1,500;2,500\n-1;2;3\n4;5;6,250\n", pos=POS),
    refused("perhaps thousands", b"x;y;z\n1,234;2,345;3,456\n", "'1,234' is not a number"),
    refused("thousands", b'x,y,z\n"1,234.5","2,345.5","3,456.5"\n', "'1,234.5' is not a number"),
    refused("apostrophes", b"x;y;z\n1234.5;2.5;3.5\n1'234.5;2.5;3\n", "234.5\" is not a number"),
    refused("short line", b"x,y,z\n1,2,3\n1,2\n", "line 3: has 2 values"),
    refused("long line", b"x,y,z\n1,2,3\n1,2,3,4\n", "line 3: has 4 values"),
    refused("separator at one end", b"x,y,z\n1,2,3\n1,2,3,\n", "line 3: has 4 values"),
    refused("a word among numbers", b"1 2 3\n1 two 3\n", "line 2: 'two'", "a.txt"),
    refused("other separator", b"1,2,3\n4 5 6\n", "line 2", "a.txt"),
]  # fmt: skip

ROWS = [*HEADERS, *FIRST_LINES, *MARKS, *WRITTEN, *SCANS, *FIELDS]
