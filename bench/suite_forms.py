# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# One mixture of experts in the forms in which exporters write it: gatecc with each, beside
# gatecc with the operator that says it at once, and beside peers with the same file.
from . import cells, inputs, networks, peers
from .measure import Group
from .suite_chain import add_row, start
from .suite_moe import inputs_of

# Copies of weights that one run of a peer may make in the form that gathers them.
MOST_COPIES = 6 << 30


def run(session, layers, forms, tokens):
    for name in layers:
        for form in forms:
            _form(session, cells.LAYERS[name], form, tokens)


def _form(session, layer, form, tokens):
    cell = f"{layer.name} {cells.FORMS[form]} {form}"
    names = session.systems_for("forms", "f32", skip=("gatecc-1",))
    for systems in session.groups_of(names, layer.bytes("f32")):
        group = Group(session)
        try:
            for system in systems:
                own = "contrib" if system == "gatecc-contrib" else form
                file = networks.moe_file(layer, own, session.folder)
                session.say(f"{cell}: {system} is prepared")
                start(session, group, system, "moe", layer.name, file)
            for count in tokens:
                _cell(session, group, cell, layer, form, count)
        finally:
            group.close()


def _cell(session, group, cell, layer, form, tokens):
    router = networks.router_of(layer, session.folder)
    xs, references = inputs_of(session, layer, tokens, "random")
    plans = [inputs.plan_of(layer, router, x)[0].counts for x in xs]
    hit = sum(int((p > 0).sum()) for p in plans) / len(plans)
    copies = 4 * tokens * layer.top_k * layer.expert_weights
    too_much = form == "gathered" and copies > MOST_COPIES
    only = [n for n in group.processes if n in peers.OURS or not too_much]
    rates = session.rates
    level = rates.level(layer, tokens, hit, "f32")
    rates.begin_cell()
    results = group.measure(
        xs, references, "f32", around=lambda: rates.sample("f32", level), only=only
    )
    limit = rates.limit(layer, tokens, hit, "f32")
    everything = cells.everything(layer)
    dense = rates.limit(everything, tokens, layer.experts, "f32")
    for name in group.processes.keys() - results.keys():
        results[name] = group.refused(f"copies of weights take {copies / 1e9:.0f} GB")
    for name, result in results.items():
        add_row(
            session,
            name,
            result,
            results.get("gatecc"),
            suite="forms",
            cell=cell,
            T=tokens,
            routing="random",
            shape=layer,
            memory=rates.memory,
            now=rates.now(),
            experts_hit=hit,
            form=form,
            dense_share=dense.ms / limit.ms,
        )
    shown = ", ".join(f"{n} {r.ms:.3f}" for n, r in results.items() if r.ms)
    session.say(f"{cell} T={tokens}: limit {limit.ms:.3f} ({limit.binds}), {shown}")
