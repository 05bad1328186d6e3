"""A second model at home, as other methods have it."""

from pfmsm_lite.registry import register


@register("personal", "finetune")
def finetune(client, epochs: int, pull: float) -> None:
    """with a copy of it, trained on its own rows for one more round

    Ours: a common yardstick, from no single paper
    Fidelity: own
    """
    twin = client.personal
    twin.model.load_state_dict(client.model.state_dict())
    twin.forget_optimizer()
    twin.fit(epochs)


@register("personal", "ditto")
def ditto(client, epochs: int, pull: float) -> None:
    """with a second model that trains beside it and is drawn towards it

    Source: Ditto (Li et al., ICML 2021)
    Paper: a second model minimizes its own loss and λ/2·‖v − w‖², w as received, by plain gradient steps
    Ours: Adam, the pull by its proximal step (see Client.fit), and towards the w of this round's download
    Fidelity: differs
    """
    shared = client.model.state_dict()
    own = dict(client.personal.model.named_parameters())
    client.personal.fit(epochs, [(own[name], shared[name]) for name in own], pull=pull)
