"""Files of published data as their publishers write them, generated: what the tests of the readers read."""

import numpy as np
import pandas as pd

from pfmsm_lite.data import aliccp


def movielens_100k(folder, users=40, movies=30, rows=900, seed=0):
    """u.data (not in order of users), u.user, u.item with titles in Latin-1 and dates that are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    jobs = ["student", "engineer", "none"]
    people = [f"{u}|{15 + u}|{'MF'[u % 2]}|{jobs[u % 3]}|{55000 + u}" for u in range(1, users + 1)]
    (folder / "u.user").write_text("\n".join(people) + "\n")
    flags = draw.integers(0, 2, (movies, 19))
    flags[:, 3] = 1
    films = [
        f"{m + 1}|Le Café {m} (1995)|{'01-Jan-1995' * (m != 4)}||http://x/{m}|{'|'.join(map(str, own))}"
        for m, own in enumerate(flags)
    ]
    (folder / "u.item").write_text("\n".join(films) + "\n", encoding="latin-1")
    pairs = draw.permutation(users * movies)[:rows]
    table = pd.DataFrame({"u": pairs // movies + 1, "m": pairs % movies + 1})
    table["r"] = np.clip(1 + (table["u"] + table["m"] + draw.integers(0, 3, rows)) % 5, 1, 5)
    table.assign(t=874965758).to_csv(folder / "u.data", sep="\t", header=False, index=False)
    return table


def movielens_1m(folder, users=40, movies=30, rows=900, seed=0):
    """ratings.dat, users.dat, movies.dat, in order of users."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    ages = [1, 18, 25, 35, 45, 50, 56]
    people = [f"{u}::{'MF'[u % 2]}::{ages[u % 7]}::{u % 21}::0{u}" for u in range(1, users + 1)]
    (folder / "users.dat").write_text("\n".join(people) + "\n")
    films = [f"{m}::Café: {m} (1995)::{'Comedy|Drama' if m % 2 else 'Sci-Fi'}" for m in range(1, movies + 1)]
    (folder / "movies.dat").write_text("\n".join(films) + "\n", encoding="latin-1")
    pairs = np.sort(draw.permutation(users * movies)[:rows])
    lines = [f"{p // movies + 1}::{p % movies + 1}::{1 + (p * 7) % 5}::978300760" for p in pairs]
    (folder / "ratings.dat").write_text("\n".join(lines) + "\n")
    return pairs


def aliccp_rows(rows, seed=0, columns=None):
    """Columns as torch-rechub prepares them, or those of AITM."""
    draw = np.random.default_rng(seed)
    click = (draw.random(rows) < 0.3).astype(int)
    table = {"click": click, "purchase": click * (draw.random(rows) < 0.4)}
    fields = {name: draw.integers(0, 20 + 30 * k, rows) for k, name in enumerate(aliccp.FIELDS)}
    table |= {name: fields[name] for name in aliccp.FIELDS if not name.endswith("_14")}
    table |= {"301": draw.integers(1, 4, rows)}
    table |= {name: fields[name] for name in aliccp.FIELDS if name.endswith("_14")}
    table |= {name: draw.random(rows).round(4) for name in aliccp.NUMBERS}
    table = pd.DataFrame(table)
    return table if columns is None else table[columns]


AITM = (
    "click purchase 101 121 122 124 125 126 127 128 129 205 206 207 216 508 509 702 853 301".split()
)  # without 210 and without what is counted over 14 days


def oulad(folder, people=60, seed=0):
    """The publisher's four files that are read, all cells in quotes; ? stands for a gap."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    info = pd.DataFrame({"code_module": draw.choice(["AAA", "BBB"], people)})
    info["code_presentation"] = draw.choice(["2013B", "2013J", "2014J"], people)
    info["id_student"] = np.arange(people)
    for column in ("gender", "region", "highest_education", "imd_band", "age_band"):
        info[column] = draw.choice(["x", "y"], people)
    info.loc[3, "imd_band"] = "?"
    info["num_of_prev_attempts"], info["studied_credits"] = draw.integers(0, 3, people), 60
    info["disability"] = "N"
    info["final_result"] = draw.choice(["Withdrawn", "Fail", "Pass", "Distinction"], people)
    key = ["code_module", "code_presentation", "id_student"]
    days = info[key].assign(
        date_registration=draw.integers(-90, 0, people).astype(str), date_unregistration="?"
    )
    days.loc[2, "date_registration"] = "?"
    work = pd.DataFrame(
        {"code_module": ["AAA", "BBB"] * 3, "code_presentation": ["2013B", "2013J", "2014J"] * 2}
    )
    work = work.assign(id_assessment=range(6), assessment_type="TMA", date="19", weight=10)
    pieces = pd.DataFrame(
        {"id_assessment": draw.integers(0, 6, 90), "id_student": draw.integers(0, people, 90)}
    )
    pieces = pieces.assign(date_submitted=draw.integers(0, 60, 90), is_banked=0, score="?")
    for name, table in (("studentInfo", info), ("studentRegistration", days), ("assessments", work),
                        ("studentAssessment", pieces)):  # fmt: skip
        table.to_csv(folder / f"{name}.csv", index=False, quoting=1)


def adult(folder, people=600, seed=0):
    """adult.data and adult.test, blanks after commas, a remark in front, dots after the test's incomes."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)

    def line(dot):
        job = draw.choice(["Sales", "Tech-support", "?"])
        state = draw.choice(["Never-married", "Divorced"])
        income = draw.choice(["<=50K", ">50K"]) + dot
        return (
            f"{draw.integers(17, 80)}, State-gov, 77516, Bachelors, 13, {state}, {job}, Not-in-family, "
            f"White, Male, 2174, 0, 40, ?, {income}"
        )

    (folder / "adult.data").write_text("\n".join(line("") for _ in range(people)) + "\n\n")
    test = "|1x3 Cross validator\n" + "\n".join(line(".") for _ in range(people // 2)) + "\n\n"
    (folder / "adult.test").write_text(test)
