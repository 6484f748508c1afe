"""Random cases for Oracle.java: python3 cases.py SEED COUNT. Most expressions compile, some nearly do."""

import random
import sys

rnd = random.Random(int(sys.argv[1]))
NAMES = ["a", "b", "c", "TAGS", "_x$1"]
TEXTS = ["''", "'x'", "'5'", "'true'", "'it''s'", "'5.0'", "'日本'", "''''", "' '", "'X'"]
INTS = ["0", "1", "5", "7", "2147483647", "2147483648", "3000000000", "5L", "7l", "9223372036854775807"]
FLOATS = ["5.0", ".5", "5.", "1e2", "1E-3", "2.5e+3", "5E0", "9.9e307", "4.9e-324"]
ODD = ["0L", "007", "0.0", "1e400", "1e-400", "9223372036854775808", "5a", ".", "1.5.5", "0x10", "00.5", "5e", "1.e1"]
VALUES = ["x", "5", "7", "5.0", "true", "TRUE", "false", "3000000000", "2147483648", "-5", "+5", "05", " 5", "5 ", "abc",
          "NaN", "Infinity", "-Infinity", "inf", "nan", "1e2", "5d", "5f", ".5", "5.", "1e400", "-0", "0", "-0.0", "+",
          "-", "日本", "it's", "9223372036854775807", "9223372036854775808", "2147483647", "-2147483648", "1_000", "X", "xx",
          " ", "'", "5L", "--5", "+-5", "1e", "e1", "5dd", "d", "+NaN", "-NaN", "5.0e0f", "1 000", "1e-400"]
JUNK = ["#", "!", "!=", "==", "/", "/* c */", "/* open", "-- c\\n", "-- c", "--", "LIKE", "LIMIT", ";", "é", "\\n", "\\t",
        "ESCAPE", "<=>", "> =", "'", "NOT", "AND", "OR", "IS", "NULL", "(", ")", ",", "IN", "BETWEEN", "CONTAINS", "@", "."]


def word(text):
    pick = rnd.random()
    return text.lower() if pick < 0.2 else text.title() if pick < 0.25 else text


def primary(depth):
    pick = rnd.random()
    if pick < 0.45:
        return rnd.choice(NAMES)
    if pick < 0.60:
        return rnd.choice(INTS)
    if pick < 0.68:
        return rnd.choice(FLOATS)
    if pick < 0.80:
        return rnd.choice(TEXTS)
    if pick < 0.86:
        return word(rnd.choice(["TRUE", "FALSE", "NULL"]))
    if pick < 0.87:
        return rnd.choice(ODD)
    if depth <= 0:
        return rnd.choice(NAMES)
    return "(" + orx(depth - 1) + ")"


def unary(depth):
    pick = rnd.random()
    if pick < 0.05:
        return "-" + rnd.choice(["", " "]) + unary(depth)
    if pick < 0.07:
        return "+" + unary(depth)
    if pick < 0.10:
        return word("NOT") + " " + unary(depth)
    return primary(depth)


def simple():
    return rnd.choice(NAMES) if rnd.random() < 0.5 else rnd.choice(["", "", "-"]) + rnd.choice(INTS + FLOATS)


def comparison(depth):
    pick = rnd.random()
    maybe = word("NOT") + " " if rnd.random() < 0.4 else ""
    operand = (lambda: simple()) if rnd.random() < 0.85 else (lambda: unary(depth))
    if pick < 0.28:
        return operand() + rnd.choice([" ", ""]) + rnd.choice(["<", "<=", ">", ">="]) + rnd.choice([" ", ""]) + operand()
    if pick < 0.38:
        return f"{operand()} {maybe}{word('BETWEEN')} {operand()} {word('AND')} {operand()}"
    if pick < 0.46:
        left = rnd.choice(NAMES) if rnd.random() < 0.9 else unary(depth)
        return f"{left} {maybe}{word('IN')} ({', '.join(rnd.choice(TEXTS) for _ in range(rnd.randint(1, 7)))})"
    if pick < 0.56:
        return f"{unary(depth)} {maybe}{word(rnd.choice(['CONTAINS', 'STARTSWITH', 'ENDSWITH']))} {rnd.choice(TEXTS)}"
    return unary(depth)


def equality(depth):
    left = comparison(depth)
    while (pick := rnd.random()) < 0.5:
        if pick < 0.30:
            left += rnd.choice([" = ", "=", " <> "]) + comparison(depth)
        else:
            left += " " + word("IS") + (" " + word("NOT") if rnd.random() < 0.5 else "") + " " + word("NULL")
    return left


def chain(sign, operand, chance):
    text = operand()
    while rnd.random() < chance:
        text += f" {word(sign)} " + operand()
    return text


def orx(depth):
    return chain("OR", lambda: chain("AND", lambda: equality(depth), 0.3), 0.25)


def spoil(text):
    for _ in range(rnd.randint(1, 2)):
        at = rnd.randint(0, len(text))
        pick = rnd.random()
        if pick < 0.4:
            text = text[:at] + rnd.choice(JUNK) + text[at:]
        elif pick < 0.6:
            text = text + " " + rnd.choice(JUNK) + " " + rnd.choice(JUNK)
        elif pick < 0.8:
            text = text[:at] + text[at + rnd.randint(1, 3):]
        else:
            text = text[:at]
    return text


for _ in range(int(sys.argv[2])):
    expression = orx(2)
    if rnd.random() < 0.15:
        expression = spoil(expression)
    pairs = ";".join(f"{name}={rnd.choice(VALUES)}" for name in NAMES if rnd.random() < 0.75)
    print(f"{expression}\t{pairs}")
