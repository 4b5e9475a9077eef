"""`bnn-deploy cost`"""

from __future__ import annotations

import click

from bnn_deploy.architecture import Doubling
from bnn_deploy.cli.options import architecture_from, genes_option, groups_option, json_option
from bnn_deploy.cost import Cost, network_cost, step_cost
from bnn_deploy.references import SEED_SPACE, reference_names
from bnn_deploy.report.tables import print_json, print_table
from bnn_deploy.space import load_space
from bnn_deploy.steps import plan


@click.command()
@click.argument("architectures", nargs=-1)
@click.option("--space", "space_name", default=SEED_SPACE, show_default=True, help="Skeleton of the references.")
@groups_option
@genes_option
@click.option("--doubling", type=click.Choice([choice.value for choice in Doubling]), help="How channels double.")
@click.option("--steps", is_flag=True, help="One line per step instead of per network.")
@json_option
def command(
    architectures: tuple[str, ...],
    space_name: str,
    groups: str | None,
    genes: tuple[str, ...],
    doubling: str | None,
    steps: bool,
    as_json: bool,
) -> None:
    """Count BOPs, FLOPs, OPs = FLOPs + BOPs/64, parameters and bytes.

    ARCHITECTURES are reference names or JSON files; all references when none is given. One multiply-accumulate counts
    as 1; batch norm, RPReLU, sign, shortcuts and pooling are not counted.

    \b
    Examples:
      bnn-deploy cost
      bnn-deploy cost reactnet-a --steps
      bnn-deploy cost --space mobilenet-32 --groups 1,2,4,8,8,8,8 reactnet-a
    """
    space = load_space(space_name)
    names = architectures or tuple(reference_names())
    nets = {name: architecture_from(name, space, groups, genes, doubling) for name in names}
    if steps:
        costs = [(f"{name}: {step.key}", step_cost(step)) for name, net in nets.items() for step in plan(net)]
    else:
        costs = [(name, network_cost(net)) for name, net in nets.items()]
    if as_json:
        print_json([{"name": name, **cost.to_json()} for name, cost in costs])
    else:
        columns = ["step" if steps else "network", "BOPs", "FLOPs", "OPs", "parameters", "weights"]
        print_table(f"Cost ({space_name})", columns, [[name, *_row(cost)] for name, cost in costs])


def _row(cost: Cost) -> list[str]:
    counts = [f"{cost.bops / 1e9:.3f}e9", f"{cost.flops / 1e8:.3f}e8", f"{cost.ops / 1e8:.3f}e8"]
    return [*counts, f"{cost.parameters / 1e6:.3f} M", f"{cost.bytes / 2**20:.2f} MiB"]
