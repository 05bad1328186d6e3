"""A second model at home: what a client uses itself, beside the one that travels."""

from pfmsm_lite.registry import register


def nothing(client, epochs: int, pull: float) -> None:
    """The client is evaluated with what the server sent."""


def finetune(client, epochs: int, pull: float) -> None:
    """A copy of what the server sent, trained on the client's own rows."""
    twin = client.personal
    twin.model.load_state_dict(client.model.state_dict())
    twin.forget_optimizer()
    twin.fit(epochs)


def ditto(client, epochs: int, pull: float) -> None:
    """A model that trains beside the shared one and is drawn towards it (Ditto, Li et al., ICML 2021)."""
    shared = client.model.state_dict()
    own = dict(client.personal.model.named_parameters())
    client.personal.fit(epochs, [(own[name], shared[name]) for name in own], pull=pull)


for name, train, text in (
    ("none", nothing, "a client is evaluated with what the server sent"),
    ("finetune", finetune, "with a copy of it, trained on its own rows for one more round"),
    ("ditto", ditto, "with a second model that trains beside it and is drawn towards it"),
):
    register("personal", name, train, text)
