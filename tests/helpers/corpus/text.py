"""Text tables: headers, separators, line ends, encodings, and columns without names."""

from helpers.corpus.rows import Row

POS = [[0.5, 1.5, 2.5], [-1, 2, 3], [4, 5, 6.25]]
COLOR = [[255, 0, 10], [20, 30, 40], [7, 8, 200]]

ROWS = [
    Row(
        id="names",
        file="a.csv",
        content=b"x,y,z,red,green,blue,label\n0.5,1.5,2.5,255,0,10,3\n-1,2,3,20,30,40,4\n4,5,6.25,7,8,200,5\n",
        pos=POS,
        color=COLOR,
        columns={"label": [3, 4, 5]},
    ),
    Row(id="a word among numbers", file="a.txt", content=b"1 2 3\n1 two 3\n", refusal="line 2: 'two'"),
]
