"""Chapter 08: its solutions pass, wrong answers get the hint that is meant for them."""

from solving import exercise_tests


def auc(results, method, keys=("scenario",)):
    return results[results["method"] == method].groupby(list(keys))["auc"].mean()


def lowest_auc(results, method):
    return auc(results[results["split"] == "test"], method).idxmin()


def validation_rows(results, method):
    rows = results[results["split"] == "valid"]
    return (auc(rows, method) - auc(rows, "local")).idxmin()


def one_seed(results, method):
    rows = results[results["split"] == "test"]
    keys = ("scenario", "seed")
    return (auc(rows, method, keys) - auc(rows, "local", keys)).idxmin()[0]


def most(results, method):
    rows = results[results["split"] == "test"]
    return (auc(rows, "local") - auc(rows, method)).idxmin()


WRONG = [
    ("ex1", 0.46, "that is the mean"),
    ("ex1", 0.9124, "the upper end"),
    ("ex1", 0.14061, "Student's t"),
    ("ex1", "0.01", "expected a number"),
    ("ex2", "clustered", "red in one panel only"),
    ("ex2", "pf_msmtrec", "red in one panel only"),
    ("ex2", "boosted_tree", "no triangle of boosted_tree is red"),
    ("ex2", "OULAD", "a name from the left edge"),
    ("ex2", 2, "expected a string"),
    ("ex3", lowest_auc, "subtract local's AUC first"),
    ("ex3", validation_rows, "split == 'test' only"),
    ("ex3", one_seed, "the mean over seeds first"),
    ("ex3", most, "the smallest difference"),
    ("ex3", lambda results, method: 3.0, "the name of a scenario"),
    ("ex3", lambda results, method: "s9", "return the scenario"),
    ("ex3", lambda results, method: results["nothing"], "KeyError"),
]

test_a_solution_passes_and_a_stub_is_to_do, test_a_mistake_gets_its_hint = exercise_tests("08", WRONG)
